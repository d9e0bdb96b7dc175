# CellGAN at 64 px for a CPU and runs of an hour at most: an eighth of the channels at each
# resolution, and settings that show cells after about a thousand iterations instead of tens of
# thousands (docs/cellgan.md, "Short runs").
_base_ = 'cellgan_256.py'
model = dict(
    generator=dict(out_size=64, base_channels=4, sgc_fusion='modulate', init_gain=1.0),
    discriminator=dict(in_size=64, base_channels=4, init_gain=1.0),
    augment=dict(policy=['translation']),
    ema_config=dict(start_iter=200, momentum=0.01))
