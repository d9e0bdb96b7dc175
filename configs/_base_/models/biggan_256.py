# BigGAN (Brock et al. 2019) at 256 px with MMagic's own classes, sized for small data: a third of the
# 96 channels for ImageNet. This gives 512, 512, 256, 256, 128, 64, 32 at 4..256, as in CellGAN.
# Batch 64 then fits a GPU of 24 GB (docs/baselines.md: parameters and memory).
_channels = 32
model = dict(
    type='BigGAN',
    num_classes=5,
    data_preprocessor=dict(type='CellDataPreprocessor'),  # labels (N,), which BigGAN needs
    generator=dict(
        type='BigGANGenerator',
        output_scale=256,
        noise_size=140,  # 20 numbers for the first layer and for each of the six blocks
        shared_dim=128,
        base_channels=_channels,
        sn_style='torch'),  # the gradient of MMagic's other style is wrong (docs/baselines.md)
    discriminator=dict(
        type='BigGANDiscriminator',
        input_scale=256,
        sn_style='torch',
        # MMagic's own list of layers at 256 px has one entry too few under `attention`.
        arch_cfg=dict(
            in_channels=[3] + [_channels * n for n in [1, 2, 4, 8, 8, 16]],
            out_channels=[_channels * n for n in [1, 2, 4, 8, 8, 16, 16]],
            downsample=[True] * 6 + [False],
            resolution=[128, 64, 32, 16, 8, 4, 4],
            attention=[False, True, False, False, False, False, False])),
    generator_steps=1,
    discriminator_steps=2,  # iterations per update of the generator, as the paper
    # As CellGAN's. Buffers are copied, not averaged: an average of singular vectors is none.
    ema_config=dict(type='ForeachEMA', momentum=0.001, start_iter=1000))
