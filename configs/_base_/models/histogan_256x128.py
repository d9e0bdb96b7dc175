# HistoGAN for 256x128 (height x width) in three stages, four grades (Sec. 3.1.1, 4.2.1, Fig. 3).
model = dict(
    type='HistoGAN',
    num_classes=4,
    noise_size=100,  # StackGAN++
    generator=dict(
        type='HistoGANGenerator',
        out_size=(256, 128),
        num_stages=3,
        base_channels=64,  # StackGAN++: 1024, 512, 256, 128, 64 in stage 1, then 32, 16
        num_residual_blocks=2,
        attention_pool=1),
    discriminator=dict(
        type='HistoGANDiscriminator',
        in_size=(256, 128),
        num_stages=3,
        base_channels=64,  # StackGAN++: 64, 128, 256, 512 in every critic
        max_channels=512,
        num_kernels=100,
        projection=False),
    adversarial_loss=dict(type='WassersteinLoss'),
    gradient_penalty=dict(type='GradientPenalty', loss_weight=50.0),  # delta, Sec. 4.2.1
    # One critic step for one of the generator: StackGAN++ and SAGAN (WGAN-GP takes 5).
    generator_steps=1,
    discriminator_steps=1,
    fake_labels='data',
    # Optional, ema_config=None without: StackGAN++'s decay, of the weights alone, over the last ninth
    # of the iterations as long as those are fewer.
    ema_config=dict(type='ForeachEMA', momentum=0.001, power=8, start_iter=1000))
