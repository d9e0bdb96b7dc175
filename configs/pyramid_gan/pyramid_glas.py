# Algorithm 2: generation and segmentation on GlaS, 64 to 512 px, all images labelled (Sec. 4.3).
_base_ = [
    '../_base_/pyramid_runtime.py',
    '../_base_/datasets/glas_512.py',
    '../_base_/models/pyramid_gan.py',
    '../_base_/schedules/adam_pyramid.py',
]
model = dict(
    scales=[  # Sec. 3.4 and 4.2.1
        dict(size=64, batch_size=8, epochs=200),
        dict(size=128, batch_size=6, epochs=200),
        dict(size=256, batch_size=4, epochs=200),
        dict(size=512, batch_size=4, epochs=200),
    ])
