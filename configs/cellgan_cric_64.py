# CellGAN on CRIC Cervix patches at 64 px, sized for two CPU cores.
_base_ = [
    '_base_/short_runtime.py',
    '_base_/datasets/cell_patches_64.py',
    '_base_/models/cellgan_64_small.py',
    '_base_/schedules/adam_short.py',
]
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        extra_classes='skip'))  # SCC, which the paper does not have
train_cfg = dict(max_iters=3000)
