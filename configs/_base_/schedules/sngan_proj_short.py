# Adam for short runs of the small SNGAN-projection.
_base_ = 'adam_short.py'
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-3, eps=1e-6)),
    discriminator=dict(optimizer=dict(lr=2e-3, eps=1e-6)))
