# Adam for short runs of the small model. With init_gain=1.0 the learning rate sets the speed
# (docs/cellgan.md, "Short runs"). The discriminator's is twice the generator's.
_base_ = 'adam_100k.py'
train_cfg = dict(max_iters=800)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-3)), discriminator=dict(optimizer=dict(lr=2e-3)))
