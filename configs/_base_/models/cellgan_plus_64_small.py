# CellGAN-plus at 64 px for a CPU: the small CellGAN without the parts that limited its images. Not
# the paper's network; docs/cellgan.md ("CellGAN-plus") says what differs from the paper, and why.
_base_ = 'cellgan_64_small.py'
_penalty = dict(type='R1Penalty', loss_weight=2e-6, interval=8)
model = dict(
    # Sec. 2.1: AdaIN by the class embedding alone, one convolution per block.
    generator=dict(style='class_noise', block_depth=2, least_slope=0.2),
    # Sec. 2.2 and 3.1: logits of patches alone, spectral norm in both networks.
    discriminator=dict(
        type='CellGANGlobalDiscriminator', spectral_norm=False, decoder_channels=None),
    # Eq. (2): hinge loss, reconstruction, R1 of weight 0.01 on real images.
    adversarial_loss=dict(type='RelativisticLoss'),
    reconstruction_loss=None,
    r1_loss=_penalty,
    r2_loss=_penalty,
    # Over the last ninth of the iterations, as long as those are fewer than a thousand.
    ema_config=dict(start_iter=200, momentum=0.001, power=8))
