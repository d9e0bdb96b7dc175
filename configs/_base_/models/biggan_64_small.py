# BigGAN at 64 px for a CPU and runs of an hour at most: a quarter of the channels at each
# resolution, attention at 32 px instead of 64, one update of the generator per iteration.
_base_ = 'biggan_256.py'
_channels = 8
model = dict(
    generator=dict(
        output_scale=64,
        noise_size=100,  # 20 for each of five
        arch_cfg=dict(
            in_channels=[_channels * n for n in [16, 16, 8, 4]],
            out_channels=[_channels * n for n in [16, 8, 4, 2]],
            upsample=[True] * 4,
            resolution=[8, 16, 32, 64],
            attention=[False, False, True, False]),
        auto_sync_bn=False),  # SyncBN needs a GPU
    discriminator=dict(input_scale=64, base_channels=_channels, arch_cfg=None),
    discriminator_steps=1,
    ema_config=dict(start_iter=200, momentum=0.01))
