# ldm_phantom.py, evaluated during training with the phantom's own classifier, as cellgan_phantom_fd.py.
# First: python tools/train.py configs/classifiers/resnet18_phantom.py
_base_ = ['ldm_phantom.py', '../_base_/evaluation/phantom_fd.py']
train_cfg = dict(val_interval=500)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=500),
]
