# HistoGAN for 64x32 in two stages, for a CPU and runs of minutes: a quarter of the channels.
_base_ = 'histogan_256x128.py'
model = dict(
    generator=dict(out_size=(64, 32), num_stages=2, base_channels=16, attention_pool=2),
    discriminator=dict(
        in_size=(64, 32),
        num_stages=2,
        base_channels=16,
        max_channels=64,
        num_kernels=20,
        # The grades part sooner when the critics' logits see the class too (SAGAN).
        projection=True),
    # WGAN-GP's own weight: with the paper's 50 the penalty drowns the rest in a run this short.
    gradient_penalty=dict(loss_weight=10.0),
    ema_config=dict(momentum=0.005, start_iter=200))
