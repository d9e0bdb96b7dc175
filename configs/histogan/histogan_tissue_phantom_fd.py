# histogan_tissue_phantom.py, evaluated during training with the phantom's own classifier. Keeps the
# checkpoint with the best smoothed distance.
# First: python tools/train.py configs/classifiers/resnet18_tissue_phantom.py
# CELLGAN_CLASSIFIER: its work directory (default: work_dirs/resnet18_tissue_phantom).
_base_ = ['histogan_tissue_phantom.py', '../_base_/evaluation/tissue_phantom_fd.py']
train_cfg = dict(val_interval=100)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    # Eq. (4) is one distance over all images; row='mean' is that of the classes.
    dict(type='ModelSelectionHook', alpha=0.5, row='pooled'),
    dict(type='SampleSheetHook', interval=200),
]
