# Adam for short runs of the small model: higher rates than the paper's, and as in SAGAN the
# generator's below the critics'. With equal rates of 1e-3 one direction of z soon drowned the rest.
_base_ = 'adam_wgan_gp.py'
train_cfg = dict(max_iters=2400)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=5e-4)), discriminator=dict(optimizer=dict(lr=1e-3)))
