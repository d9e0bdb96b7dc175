# Baseline pix2pix on the gland phantom: MMagic's U-Net, one PatchGAN, L1.
_base_ = 'pyramid_phantom_generation.py'
model = dict(
    generator=dict(
        _delete_=True, type='MaskUNetGenerator', num_down=5, base_channels=16, use_dropout=True),
    discriminator=dict(num_discriminators=1, norm='BN'),
    reconstruction_loss=dict(loss_weight=100.0, order=1),
    feature_matching_loss=None,
    perceptual_loss=None,
    scales=[dict(size=64, batch_size=4, iters=1400)])
