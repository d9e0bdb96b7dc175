# Adam for short runs of small networks.
_base_ = 'adam_pyramid.py'
train_cfg = dict(val_interval=500)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-3)),
    discriminator=dict(optimizer=dict(lr=5e-4)),
    segmenter=dict(optimizer=dict(lr=2e-3)))
