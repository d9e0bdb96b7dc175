# As biggan_tct.py at 128 px.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/cell_patches_256.py',
    '../_base_/models/biggan_128.py',
    '../_base_/schedules/biggan_100k.py',
]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='FitCellPatch', out_size=128),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
