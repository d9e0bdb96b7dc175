# AdamW, learning rate 5e-5 after 10k iterations of warm-up (Rombach et al.'s program, LSUN-Churches);
# 100k iterations of 64 images as CellGAN.
train_cfg = dict(type='ResumableTrainLoop', max_iters=100_000)
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    generator=dict(optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.01)))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=False, begin=0, end=10_000),
]
