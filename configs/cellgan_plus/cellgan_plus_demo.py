# What `make demo` trains: cellgan_plus_phantom.py for minutes, on a fifth of the images.
_base_ = 'cellgan_plus_phantom.py'
train_cfg = dict(max_iters=3000, val_interval=250)
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=0.1, by_epoch=False, begin=2000, end=3000)
]
default_hooks = dict(checkpoint=dict(interval=250), logger=dict(interval=25))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=500),
]
