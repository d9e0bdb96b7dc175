# SNGAN-projection at 64 px for a CPU and runs of an hour at most: MMagic's own list of layers at 64
# px, an eighth of its channels in the generator, one update of the generator per iteration.
_base_ = 'sngan_proj_256.py'
model = dict(
    generator=dict(
        output_scale=64,
        base_channels=8,
        channels_cfg=None,
        auto_sync_bn=False),  # SyncBN needs a GPU
    discriminator=dict(
        input_scale=64, base_channels=8, channels_cfg=None, downsample_cfg=None),
    discriminator_steps=1,
    ema_config=dict(start_iter=200, momentum=0.01))
