# As biggan_256.py at 128 px, with MMagic's own list of layers.
_base_ = 'biggan_256.py'
model = dict(
    generator=dict(output_scale=128, noise_size=120),  # 20 for each of six
    discriminator=dict(input_scale=128, base_channels=32, arch_cfg=None))
