# histogan_glas.py, evaluated during training with a classifier of the same training tiles. Keeps the
# checkpoint with the best smoothed distance.
# First: python tools/train.py configs/classifiers/resnet18_glas_tiles.py
# CELLGAN_CLASSIFIER: its work directory (default: work_dirs/resnet18_glas_tiles).
_base_ = ['histogan_glas.py', '../_base_/evaluation/glas_tiles_fd.py']
train_cfg = dict(val_interval=200)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    # Eq. (4) is one distance over all images; row='mean' is that of the classes.
    dict(type='ModelSelectionHook', alpha=0.5, row='pooled'),
    dict(type='SampleSheetHook', interval=400),
]
