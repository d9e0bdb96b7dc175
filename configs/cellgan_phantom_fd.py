# cellgan_phantom.py, evaluated during training with the phantom's own classifier. Keeps the checkpoint with
# the best smoothed distance. First: python tools/train.py configs/classifiers/resnet18_phantom.py
# CELLGAN_CLASSIFIER: its work directory (default: work_dirs/resnet18_phantom).
_base_ = ['cellgan_phantom.py', '_base_/evaluation/phantom_fd.py']
train_cfg = dict(max_iters=2400, val_interval=100)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=400),
]
