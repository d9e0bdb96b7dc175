# cellgan_cric_64.py, evaluated during training with the data set's own classifier. Keeps the checkpoint with
# the best smoothed distance. First: python tools/train.py configs/classifiers/resnet18_cric_64.py
# CELLGAN_CLASSIFIER: its work directory (default: work_dirs/resnet18_cric_64).
_base_ = ['cellgan_cric_64.py', '_base_/evaluation/cric_64_fd.py']
train_cfg = dict(val_interval=100)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=200),
]
