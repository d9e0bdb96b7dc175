# histogan_cervical.py, evaluated after every epoch from the 100th on (Sec. 4.2.2) by the features of
# the task's own ResNet-34. Keeps the checkpoint at the minimum of the smoothed distance (Sec.
# 3.1.2, Eq. (5)). First: python tools/train.py configs/classifiers/resnet34_cervical.py
# CELLGAN_CLASSIFIER: its work directory (default: work_dirs/resnet34_cervical).
_base_ = ['histogan_cervical.py', '../_base_/evaluation/cervical_fd.py']
_epoch = 29  # iterations
train_cfg = dict(val_begin=100 * _epoch, val_interval=_epoch)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    # Eq. (4) is one distance over all images; row='mean' is that of the classes.
    dict(type='ModelSelectionHook', alpha=0.5, row='pooled'),
    dict(type='SampleSheetHook', interval=2000),
]
