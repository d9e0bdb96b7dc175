# Baseline pix2pix (Table 1; Isola et al. 2017): MMagic's U-Net, one PatchGAN of 70 px, L1.
_base_ = 'pyramid_glas_generation.py'
model = dict(
    generator=dict(
        _delete_=True, type='MaskUNetGenerator', num_down=8, base_channels=64, use_dropout=True),
    discriminator=dict(num_discriminators=1, norm='BN'),
    reconstruction_loss=dict(loss_weight=100.0, order=1),
    feature_matching_loss=None,
    perceptual_loss=None,
    scales=[dict(size=512, batch_size=4, epochs=200)])
# Isola et al., Sec. 6.2
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=2e-4)), discriminator=dict(optimizer=dict(lr=2e-4)))
