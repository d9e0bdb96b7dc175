# BigGAN in the paper's run (Table 1): five Bethesda classes at 256 px, 100k iterations, batch 64.
# Chosen where the paper is silent: docs/baselines.md.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/cell_patches_256.py',
    '../_base_/models/biggan_256.py',
    '../_base_/schedules/biggan_100k.py',
]
