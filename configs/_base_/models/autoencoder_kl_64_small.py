# The KL autoencoder at 64 px for a CPU: f = 4, latents of 4 x 16 x 16, an eighth of the channels.
_base_ = 'autoencoder_kl_256.py'
model = dict(
    autoencoder=dict(
        sample_size=64,
        block_out_channels=[16, 32, 64],
        layers_per_block=1,
        norm_num_groups=8),
    discriminator=dict(base_channels=16, num_conv=2),
    disc_start=500)
