# cellgan_phantom.py, evaluated while it trains by the phantom's own classifier; the best checkpoint by
# the smoothed distance is kept. First: python tools/train.py configs/classifiers/resnet18_phantom.py
# Where that was trained: CELLGAN_CLASSIFIER (default: work_dirs/resnet18_phantom).
_base_ = ['cellgan_phantom.py', '_base_/evaluation/phantom_fd.py']
train_cfg = dict(max_iters=2400, val_interval=100)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=400),
]
