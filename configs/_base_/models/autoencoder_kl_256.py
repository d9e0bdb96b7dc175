# Stage 1 of latent diffusion at 256 px: Rombach et al.'s KL autoencoder with f = 8, latents of
# 4 x 32 x 32. Channels, blocks and loss weights are those of their program, except the start of the
# discriminator (50,001 there, for millions of images).
# The perceptual term (LPIPS) needs torchvision's VGG-16: CELLGAN_VGG_WEIGHTS=FILE, else it is off.
model = dict(
    type='LatentAutoencoder',
    autoencoder=dict(
        type='AutoencoderKL',
        sample_size=256,
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
        norm_num_groups=32),
    discriminator=dict(
        type='PatchDiscriminator', in_channels=3, base_channels=64, num_conv=3),
    regulariser_weight=1e-6,
    perceptual_loss=dict(type='VGGPerceptualLoss', linear_weights='lpips'),
    adversarial_loss=dict(type='HingeGANLoss'),
    discriminator_weight=0.5,
    adaptive_weight=True,
    disc_start=20_000)
