# SNGAN-projection at the paper's size: a baseline that the paper does not have, added to the table
# by only a config (docs/baselines.md).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/cell_patches_256.py',
    '../_base_/models/sngan_proj_256.py',
    '../_base_/schedules/biggan_100k.py',
]
