# HistoGAN on tiles of GlaS (colon glands) by grade, 64x64 in two stages, sized for two CPU cores.
# First: python tools/dataset_converters/glas_tiles.py GLAS --out data/glas_tiles --min-overlap 64
# Tiles: CELLGAN_GLAS_TILES_ROOT.
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/glas_tiles_64.py',
    '../_base_/models/histogan_64x32_small.py',
    '../_base_/schedules/adam_wgan_gp_short.py',
]
model = dict(
    num_classes=2,
    generator=dict(out_size=64),
    discriminator=dict(in_size=64))
