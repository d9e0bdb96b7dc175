# Pyramid-plus on the gland phantom: Algorithm 2 without the parts that limited its images. Not the paper's
# model; docs/pyramid_gan.md ("Pyramid-plus") says what differs, and why. 50 minutes of one core:
#   python tools/dataset_converters/gland_phantom.py --out data/gland_phantom --splits train=200,val=20,test=40
#   python tools/train.py configs/pyramid_gan_plus/pyramid_plus_phantom.py --amp
_base_ = '../pyramid_gan/pyramid_phantom.py'
_penalty = dict(type='R1Penalty', loss_weight=0.02, interval=4)
model = dict(
    # pix2pixHD: instance norm. SinGAN: white noise, 0.1 at all finer scales.
    generator=dict(norm='none', base_channels=32),
    discriminator=dict(norm='none', base_channels=32, num_layers=3),
    stain_share=0.5,
    noise_std=[1.0, 0.1, 0.5],
    # Eq. (4) and (6), and the segmenter's part in the game (Eq. 7 and 8): cross-entropy alone.
    adversarial_loss=dict(mode='relativistic'),
    feature_matching_loss=None,
    reconstruction_loss=dict(loss_weight=2.0),
    r1_loss=_penalty,
    r2_loss=_penalty,
    segmenter_adversarial_weight=0.0,
    segmenter_share=0.0,
    scales=[
        dict(size=16, batch_size=16, iters=1000),
        dict(size=32, batch_size=16, iters=1500),
        dict(size=64, batch_size=8, iters=4000),
    ])
_adam = dict(lr=2e-4, betas=(0.0, 0.99))
optim_wrapper = dict(generator=dict(optimizer=_adam), discriminator=dict(optimizer=_adam))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='FitTissue', out_size=64),
            dict(type='RandomTissueFlip'),
            dict(type='PackTissueInputs'),
        ]))
