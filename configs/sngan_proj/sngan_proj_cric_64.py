# SNGAN-projection on CRIC Cervix patches at 64 px, sized for two CPU cores: the training fields of the
# manifest that tools/dataset_converters/cric.py writes. For class folders without a manifest add
# --cfg-options train_dataloader.dataset.ann_file= train_dataloader.dataset.split=None
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/sngan_proj_64_small.py',
    '../_base_/schedules/sngan_proj_short.py',
]
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
        extra_classes='skip'))  # SCC, which the paper does not have
train_cfg = dict(max_iters=3000)
