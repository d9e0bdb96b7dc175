# Baseline pix2pixHD (Table 1; Wang et al. 2018): its global generator and its three discriminators.
_base_ = 'pyramid_glas_generation.py'
model = dict(
    generator=dict(upsample='transposed', base_channels=64, num_downsamples=4, num_blocks=9),
    adversarial_loss=dict(mode='lsgan'),
    reconstruction_loss=None,
    scales=[dict(size=512, batch_size=4, epochs=200)])
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=2e-4)), discriminator=dict(optimizer=dict(lr=2e-4)))
