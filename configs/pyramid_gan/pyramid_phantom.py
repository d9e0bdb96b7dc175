# Algorithm 2 on the gland phantom, 16 to 64 px, all images labelled, sized for two CPU cores.
# Data: CELLGAN_GLAND_ROOT.
_base_ = [
    '../_base_/pyramid_short_runtime.py',
    '../_base_/datasets/gland_phantom_64.py',
    '../_base_/models/pyramid_gan_small.py',
    '../_base_/schedules/adam_pyramid_short.py',
]
model = dict(
    scales=[
        dict(size=16, batch_size=16, iters=400),
        dict(size=32, batch_size=8, iters=400),
        dict(size=64, batch_size=4, iters=600),
    ],
    synthetic_start=5)  # epochs
