# The pyramid GAN for tiles of up to 64 px on a CPU: a fraction of the channels, and for short runs
# L1 in place of the perceptual term, which learns colours sooner.
_base_ = 'pyramid_gan.py'
model = dict(
    generator=dict(base_channels=16, num_downsamples=1, num_blocks=3),
    discriminator=dict(base_channels=16, num_layers=2),
    reconstruction_loss=dict(loss_weight=10.0, order=1),
    feature_matching_loss=dict(loss_weight=7.5),  # 10 for each of three stages, as of four at full size
    perceptual_loss=None,
    segmenter=dict(
        first_channels=16, growth_rate=8, block_layers=[2, 2, 2], bottleneck_layers=2, dropout=0.1))
