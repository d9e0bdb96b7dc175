# Adam for short runs of a small autoencoder.
_base_ = 'autoencoder_60k.py'
train_cfg = dict(max_iters=1000)
optim_wrapper = dict(
    autoencoder=dict(optimizer=dict(lr=2e-3)), discriminator=dict(optimizer=dict(lr=5e-4)))
