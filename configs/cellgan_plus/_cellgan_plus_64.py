# Shared settings of CellGAN-plus runs at 64 px: data in RAM, all eight views, intervals to evaluate, draw
# and save. A run adds its data and its evaluation.
_base_ = [
    '../_base_/plus_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/cellgan_plus_64_small.py',
    '../_base_/schedules/adam_plus.py',
]
train_cfg = dict(val_interval=1000)
train_dataloader = dict(
    dataset=dict(
        ann_file='manifest.csv',
        split='train',
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            # A smear has no up: all eight views.
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5, diagonal=0.5),
            dict(type='PackCellInputs'),
        ]))
