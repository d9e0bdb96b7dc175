# HistoGAN on tiles of GlaS (colon glands) by grade, 64x64 in two stages, sized for two CPU cores.
# Where the tiles lie: CELLGAN_GLAS_ROOT, class folders with a manifest that keeps patients apart.
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/tissue_patches_64x32.py',
    '../_base_/models/histogan_64x32_small.py',
    '../_base_/schedules/adam_wgan_gp_short.py',
]
model = dict(
    num_classes=2,
    generator=dict(out_size=64),
    discriminator=dict(in_size=64))
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_GLAS_ROOT:data/glas_tiles}}',
        metainfo=dict(classes=['benign', 'malignant']),
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
