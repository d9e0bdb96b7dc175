# SNGAN with projection discriminator (Miyato & Koyama 2018) at 256 px with MMagic's own classes.
# MMagic lists layers up to 128 px; this config adds one block. Channels as in CellGAN and BigGAN.
model = dict(
    type='SNGAN',
    num_classes=5,
    noise_size=128,
    data_preprocessor=dict(type='CellDataPreprocessor'),  # labels (N,), which SNGAN needs
    generator=dict(
        type='SNGANGenerator',
        output_scale=256,
        base_channels=32,
        channels_cfg=[16, 16, 8, 8, 4, 2],
        init_cfg=dict(type='studio')),
    discriminator=dict(
        type='ProjDiscriminator',
        input_scale=256,
        base_channels=32,
        channels_cfg=[2, 4, 8, 8, 16, 16],
        downsample_cfg=[True, True, True, True, True, False],
        init_cfg=dict(type='studio')),
    generator_steps=1,
    discriminator_steps=2,  # iterations per update of the generator, as the baselines'; the paper: 5
    # The paper has none; as the other models', so that the table compares networks.
    ema_config=dict(type='ForeachEMA', momentum=0.001, start_iter=1000))
