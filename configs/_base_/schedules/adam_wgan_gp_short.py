# Adam for short runs of the small model.
_base_ = 'adam_wgan_gp.py'
train_cfg = dict(max_iters=800)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-3)), discriminator=dict(optimizer=dict(lr=1e-3)))
