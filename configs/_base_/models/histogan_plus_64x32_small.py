# HistoGAN-plus for 64x32 in two stages, for a CPU: the small HistoGAN with what held its images back taken
# away. Not the paper's model; which rule each part breaks, and why, is in docs/histogan.md ("HistoGAN-plus").
_base_ = 'histogan_64x32_small.py'
_penalty = dict(type='R1Penalty', loss_weight=1e-3, interval=4)
model = dict(
    generator=dict(base_channels=32),
    # Sec. 3.1.1 and 4.2.1: batch norm, spectral norm and minibatch discrimination in the critics.
    discriminator=dict(
        base_channels=32,
        max_channels=128,
        batch_norm=False,
        spectral_norm=False,
        num_kernels=0,
        projection=True),
    # Sec. 4.2.1: WGAN-GP.
    adversarial_loss=dict(type='RelativisticLoss'),
    gradient_penalty=None,
    r1_loss=_penalty,
    r2_loss=_penalty,
    ema_config=dict(start_iter=200, momentum=0.001, power=8))
