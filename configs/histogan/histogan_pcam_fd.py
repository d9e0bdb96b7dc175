# histogan_pcam.py, evaluated with the features of the task's own ResNet-34 every fifth epoch from the 100th
# on (the paper: every epoch). Keeps the checkpoint at the minimum of the smoothed distance.
# First: python tools/train.py configs/classifiers/resnet34_pcam.py
# CELLGAN_CLASSIFIER: its work directory (default: work_dirs/resnet34_pcam).
_base_ = ['histogan_pcam.py', '../_base_/evaluation/pcam_fd.py']
_epoch = 128  # iterations
train_cfg = dict(val_begin=100 * _epoch, val_interval=5 * _epoch)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    # Eq. (4) is one distance over all images; row='mean' is that of the classes.
    dict(type='ModelSelectionHook', alpha=0.5, row='pooled'),
    dict(type='SampleSheetHook', interval=2000),
]
