# Latent diffusion at 64 px for a CPU: a U-Net of about a million parameters on latents of 4 x 16 x 16.
_base_ = 'autoencoder_kl_64_small.py'
model = dict(
    _delete_=True,
    type='LatentDiffusion',
    num_classes=5,
    autoencoder={{_base_.model.autoencoder}},
    generator=dict(
        type='LatentUNet',
        sample_size=16,
        in_channels=4,
        block_out_channels=[32, 64, 64],
        layers_per_block=1,
        down_block_types=['DownBlock2D', 'AttnDownBlock2D', 'AttnDownBlock2D'],
        up_block_types=['AttnUpBlock2D', 'AttnUpBlock2D', 'UpBlock2D'],
        attention_head_dim=16,
        norm_num_groups=8),
    scheduler=dict(
        num_train_timesteps=1000,
        beta_schedule='scaled_linear',
        beta_start=0.0015,
        beta_end=0.0195,
        prediction_type='epsilon'),
    label_dropout=0.1,
    scale_images=128,
    sampling=dict(sampler='dpm', num_inference_steps=20, guidance_scale=1.5),
    ema_config=dict(type='ForeachEMA', momentum=0.005, start_iter=200))
