# AdamW for short runs of a small U-Net.
_base_ = 'ldm_100k.py'
train_cfg = dict(max_iters=2000)
optim_wrapper = dict(generator=dict(optimizer=dict(lr=1e-3)))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
]
