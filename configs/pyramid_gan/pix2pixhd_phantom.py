# Baseline pix2pixHD on the gland phantom: one generator at one scale, three discriminators.
_base_ = 'pyramid_phantom_generation.py'
model = dict(
    generator=dict(upsample='transposed', base_channels=16, num_downsamples=3, num_blocks=4),
    adversarial_loss=dict(mode='lsgan'),
    reconstruction_loss=None,
    scales=[dict(size=64, batch_size=4, iters=1400)])
