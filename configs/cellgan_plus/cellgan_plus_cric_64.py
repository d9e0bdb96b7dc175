# CellGAN-plus on CRIC Cervix patches at 64 px, for hours of one core: the training fields of the
# manifest that tools/dataset_converters/cric.py writes; evaluated while it trains by the set's own
# classifier (configs/classifiers/resnet18_cric_64.py, CELLGAN_CLASSIFIER).
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/cellgan_plus_64_small.py',
    '../_base_/schedules/adam_plus.py',
    '../_base_/evaluation/cric_64_fd.py',
]
train_cfg = dict(val_interval=1000)
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
        extra_classes='skip',  # SCC, which the paper does not have
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5, diagonal=0.5),
            dict(type='PackCellInputs'),
        ]))
default_hooks = dict(checkpoint=dict(interval=500), logger=dict(interval=100))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=1000),
]
