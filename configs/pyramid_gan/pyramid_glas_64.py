# Algorithm 2 on GlaS at an eighth of its size, 16 to 64 px, sized for two CPU cores.
_base_ = [
    '../_base_/pyramid_short_runtime.py',
    '../_base_/datasets/glas_64.py',
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
