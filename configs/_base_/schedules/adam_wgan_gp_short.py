# Adam for short runs of the small model. Learning rates are higher than the paper's, and as in SAGAN
# lower for the generator than for the critics: with equal rates of 1e-3, one direction of z soon
# dominated.
_base_ = 'adam_wgan_gp.py'
train_cfg = dict(max_iters=2400)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=5e-4)), discriminator=dict(optimizer=dict(lr=1e-3)))
