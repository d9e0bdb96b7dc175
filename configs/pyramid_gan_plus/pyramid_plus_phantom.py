# Pyramid-plus on the gland phantom.
_base_ = '../pyramid_gan/pyramid_phantom.py'
_penalty = dict(type='R1Penalty', loss_weight=0.2, interval=4)
model = dict(
    generator=dict(norm='none', base_channels=32),
    discriminator=dict(norm='none', base_channels=32),
    noise_shared=0.5,
    reconstruction_loss=None,
    feature_matching_loss=None,
    r1_loss=_penalty,
    r2_loss=_penalty,
    scales=[
        dict(size=16, batch_size=16, iters=2000),
        dict(size=32, batch_size=16, iters=2000),
        dict(size=64, batch_size=8, iters=4000),
    ])
_adam = dict(lr=5e-4, betas=(0.0, 0.99))
optim_wrapper = dict(generator=dict(optimizer=_adam), discriminator=dict(optimizer=_adam))
