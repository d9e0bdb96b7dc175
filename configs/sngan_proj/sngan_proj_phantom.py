# SNGAN-projection on the phantom set (tools/dataset_converters/phantom.py), sized for two CPU cores.
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/sngan_proj_64_small.py',
    '../_base_/schedules/sngan_proj_short.py',
]
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', ann_file='manifest.csv', split='train'))
