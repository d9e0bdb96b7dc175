# Stage 2 of latent diffusion at 256 px, on the autoencoder of autoencoder_kl_256.py. The U-Net is that
# of Rombach et al.'s class-conditional model (three resolutions, attention at each, heads of 32
# channels, noise schedule) with half the channels, because here are five classes and thousands of
# images, not a thousand classes and a million. The class enters through the timestep's embedding.
_base_ = 'autoencoder_kl_256.py'
model = dict(
    _delete_=True,
    type='LatentDiffusion',
    num_classes=5,
    autoencoder={{_base_.model.autoencoder}},
    generator=dict(
        type='LatentUNet',
        sample_size=32,
        in_channels=4,
        block_out_channels=[128, 256, 512],
        layers_per_block=2,
        down_block_types=['AttnDownBlock2D'] * 3,
        up_block_types=['AttnUpBlock2D'] * 3,
        attention_head_dim=32,
        norm_num_groups=32),
    scheduler=dict(
        num_train_timesteps=1000,
        beta_schedule='scaled_linear',  # linear in the square root
        beta_start=0.0015,
        beta_end=0.0195,
        prediction_type='epsilon'),
    label_dropout=0.1,
    scale_images=512,
    sampling=dict(sampler='dpm', num_inference_steps=25, guidance_scale=1.5),
    ema_config=dict(type='ForeachEMA', momentum=1e-4))
