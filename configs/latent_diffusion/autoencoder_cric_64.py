# Stage 1 of latent diffusion on CRIC Cervix patches at 64 px, sized for two CPU cores: the training
# fields of the manifest that tools/dataset_converters/cric.py writes. For class folders without a
# manifest add
# --cfg-options train_dataloader.dataset.ann_file= train_dataloader.dataset.split=None
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/autoencoder_kl_64_small.py',
    '../_base_/schedules/autoencoder_short.py',
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
        extra_classes='skip'))  # SCC, which the paper does not have
train_cfg = dict(max_iters=3000)
model = dict(disc_start=1500)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ReconstructionSheetHook', interval=500),
]
