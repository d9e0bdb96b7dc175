# The paper's run: five Bethesda classes at 256 px, 100k iterations, batch 64.
# Data: CELLGAN_DATA_ROOT, or --cfg-options train_dataloader.dataset.data_root=DIR
_base_ = [
    '_base_/default_runtime.py',
    '_base_/datasets/cell_patches_256.py',
    '_base_/models/cellgan_256.py',
    '_base_/schedules/adam_100k.py',
]
