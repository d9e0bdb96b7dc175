"""Small untrained generators of every kind as configs and checkpoints: nothing is downloaded."""

import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

CLASSES = ['NILM', 'ASC-US', 'HSIL']
TRAINING_IMAGES = torch.arange(64, dtype=torch.uint8).view(4, 16)
EMA = dict(type='ExponentialMovingAverage', momentum=0.1, start_iter=0)

LATENT_AUTOENCODER = dict(
    type='AutoencoderKL',
    sample_size=16,
    latent_channels=2,
    block_out_channels=[4, 8],
    layers_per_block=1,
    norm_num_groups=2,
)
LATENT_UNET = dict(
    type='LatentUNet',
    sample_size=8,
    in_channels=2,
    block_out_channels=[4, 8],
    layers_per_block=1,
    down_block_types=['DownBlock2D', 'AttnDownBlock2D'],
    up_block_types=['AttnUpBlock2D', 'UpBlock2D'],
    attention_head_dim=4,
    norm_num_groups=2,
)
MODEL_CONFIGS = {
    'cellgan': dict(
        type='CellGAN',
        generator=dict(
            type='CellGANGenerator', out_size=32, base_channels=2, init_gain=1.0, noise_size=16
        ),
        noise_size=16,
        num_classes=3,
        ema_config=EMA,
    ),
    'biggan': dict(
        type='BigGAN',
        num_classes=3,
        data_preprocessor=dict(type='CellDataPreprocessor'),
        generator=dict(
            type='BigGANGenerator',
            output_scale=32,
            noise_size=20,
            base_channels=4,
            auto_sync_bn=False,
        ),
        ema_config=dict(EMA, update_buffers=True),
    ),
    'ldm': dict(
        type='LatentDiffusion',
        num_classes=3,
        autoencoder=LATENT_AUTOENCODER,
        generator=LATENT_UNET,
        scheduler=dict(num_train_timesteps=1000),
        sampling=dict(num_inference_steps=4),
        ema_config=EMA,
    ),
}


def write_run(folder, kind='cellgan', seed=0, **changes):
    """A config file and the checkpoint of an untrained model; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    model = Config(dict(model=MODEL_CONFIGS[kind]))
    model.merge_from_dict(changes)
    text = (
        "default_scope = 'mmagic'\n"
        "custom_imports = dict(imports=['cellgan_plugin'], allow_failed_imports=False)\n"
        f'train_dataloader = dict(dataset=dict(metainfo=dict(classes={CLASSES!r})))\n'
    )
    config = folder / f'{kind}.py'
    config.write_text(f'{text}model = {model.to_dict()["model"]!r}\n')
    init_default_scope('mmagic')
    torch.manual_seed(seed)
    network = MODELS.build(Config.fromfile(config).model)
    if kind == 'ldm':
        network.autoencoder_is_trained.fill_(True)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith('generator_ema'):  # told apart from the last weights
                parameter.mul_(1 + 0.1 * torch.rand_like(parameter))
    state = dict(
        state_dict=network.state_dict(),
        meta=dict(dataset_meta=dict(classes=CLASSES), iter=5),
        training_images=TRAINING_IMAGES,
    )
    checkpoint = folder / 'iter_5.pth'
    torch.save(state, checkpoint)
    return config, checkpoint
