# SNGAN-projection in the paper's run: a baseline that the paper does not have, put into the table by
# a config alone (docs/baselines.md).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/cell_patches_256.py',
    '../_base_/models/sngan_proj_256.py',
    '../_base_/schedules/biggan_100k.py',
]
