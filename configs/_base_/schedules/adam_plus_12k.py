# adam_plus.py in 12,000 iterations.
_base_ = 'adam_plus.py'
train_cfg = dict(max_iters=12_000)
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=0.1, by_epoch=False, begin=7200, end=12_000)
]
