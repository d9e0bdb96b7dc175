# HistoGAN-plus at 64x32 for a CPU: the small HistoGAN without the parts that limited its images. Not the
# paper's network; docs/histogan.md ("HistoGAN-plus") says what differs from the paper, and why.
_base_ = 'histogan_64x32_small.py'
_maps = 4 * 2 + 8 * 4 + 16 * 8 + 32 * 16 + 64 * 32  # of noise, one for every UpBlock
_penalty = dict(type='R1Penalty', loss_weight=0.2, interval=4)
model = dict(
    noise_size=100 + _maps,
    # Sec. 3.1.1: the later stages get no noise of their own.
    generator=dict(base_channels=32, noise_size=100 + _maps, spatial_noise=True),
    # Sec. 4.2.1: conditional batch norm, minibatch discrimination, spectral norm in the head.
    discriminator=dict(
        base_channels=32,
        max_channels=128,
        num_kernels=0,
        spectral_norm=False,
        batch_norm=False,
        projection=True),
    # Sec. 4.2.1: WGAN-GP.
    adversarial_loss=dict(type='RelativisticLoss'),
    gradient_penalty=None,
    r1_loss=_penalty,
    r2_loss=_penalty,
    ema_config=dict(start_iter=200, momentum=0.001, power=8))
