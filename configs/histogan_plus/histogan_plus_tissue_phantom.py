_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/tissue_patches_64x32.py',
    '../_base_/models/histogan_plus_64x32_small.py',
    '../_base_/schedules/adam_plus.py',
    '../_base_/evaluation/tissue_phantom_fd.py',
]
train_cfg = dict(val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500), logger=dict(interval=50))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook', alpha=0.0, row='pooled'),
    dict(type='SampleSheetHook', interval=500),
]
