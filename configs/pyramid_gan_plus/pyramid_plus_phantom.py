# Pyramid-plus on the gland phantom.
_base_ = '../pyramid_gan/pyramid_phantom.py'
_penalty = dict(type='R1Penalty', loss_weight=0.001, interval=4)
model = dict(
    generator=dict(norm='none', base_channels=32),
    discriminator=dict(norm='none', base_channels=32, num_layers=3),
    stain_share=0.5,
    adversarial_loss=dict(mode='relativistic'),
    reconstruction_loss=dict(loss_weight=5.0),
    feature_matching_loss=None,
    r1_loss=_penalty,
    r2_loss=_penalty,
    segmenter_adversarial_weight=0.0,
    segmenter_share=0.0,
    scales=[
        dict(size=16, batch_size=16, iters=1500),
        dict(size=32, batch_size=16, iters=1500),
        dict(size=64, batch_size=8, iters=4000),
    ])
_betas = (0.0, 0.99)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=2e-4, betas=_betas)), discriminator=dict(optimizer=dict(lr=2e-4, betas=_betas)))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='FitTissue', out_size=64),
            dict(type='RandomTissueFlip'),
            dict(type='PackTissueInputs'),
        ]))
