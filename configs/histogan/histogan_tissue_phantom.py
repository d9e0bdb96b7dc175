# HistoGAN on the tissue phantom at 64x32, sized for two CPU cores.
# Data: CELLGAN_TISSUE_ROOT.
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/tissue_patches_64x32.py',
    '../_base_/models/histogan_64x32_small.py',
    '../_base_/schedules/adam_wgan_gp_short.py',
]
