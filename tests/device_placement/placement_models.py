"""Every model of the plugin at its smallest: how it is built, a batch, its optimizers."""

from typing import Dict, NamedTuple

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from tiny_generators import LATENT_AUTOENCODER, LATENT_UNET

from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.randomness import generator_for

_EMA = dict(type='ForeachEMA', momentum=0.1)
_CELLGAN = dict(
    type='CellGAN',
    num_classes=3,
    noise_size=8,
    generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
    discriminator=dict(
        type='CellGANDiscriminator', in_size=32, base_channels=1, decoder_channels=(2,)
    ),
    ema_config=dict(_EMA),
)
_CELLGAN_PLUS = dict(
    _CELLGAN,
    generator=dict(_CELLGAN['generator'], style='class_noise', block_depth=2),
    discriminator=dict(
        type='CellGANGlobalDiscriminator',
        in_size=32,
        base_channels=1,
        spectral_norm=False,
        decoder_channels=None,
    ),
    adversarial_loss=dict(type='RelativisticLoss'),
    reconstruction_loss=None,
    augment=dict(type='AdaptiveAugment', interval=1),
    r2_loss=dict(type='R1Penalty', loss_weight=5e-6),
)
_BIGGAN = dict(
    type='BigGAN',
    num_classes=3,
    data_preprocessor=dict(type='CellDataPreprocessor'),
    generator=dict(
        type='BigGANGenerator', output_scale=32, noise_size=20, base_channels=2,
        sn_style='torch', auto_sync_bn=False,
    ),
    discriminator=dict(
        type='AugmentedDiscriminator',
        discriminator=dict(
            type='BigGANDiscriminator', input_scale=32, base_channels=2, sn_style='torch'
        ),
    ),
    ema_config=dict(_EMA),
)  # fmt: skip
_SNGAN = dict(
    type='SNGAN',
    num_classes=3,
    noise_size=8,
    data_preprocessor=dict(type='CellDataPreprocessor'),
    generator=dict(
        type='SNGANGenerator', output_scale=32, base_channels=2, init_cfg=dict(type='studio'),
        auto_sync_bn=False,
    ),
    discriminator=dict(
        type='ProjDiscriminator', input_scale=32, base_channels=2, init_cfg=dict(type='studio')
    ),
    ema_config=dict(_EMA),
)  # fmt: skip
_AUTOENCODER = dict(LATENT_AUTOENCODER, sample_size=32)
_FIRST_STAGE = dict(
    type='LatentAutoencoder',
    autoencoder=_AUTOENCODER,
    discriminator=dict(type='PatchDiscriminator', in_channels=3, base_channels=2, num_conv=1),
)
_LDM = dict(
    type='LatentDiffusion',
    num_classes=3,
    autoencoder=_AUTOENCODER,
    generator=dict(LATENT_UNET, sample_size=16),
    sampling=dict(num_inference_steps=2, guidance_scale=1.5),
    ema_config=dict(_EMA),
)
_HISTOGAN = dict(
    type='HistoGAN',
    num_classes=3,
    noise_size=8,
    generator=dict(type='HistoGANGenerator', out_size=(64, 32), num_stages=2, base_channels=2),
    discriminator=dict(
        type='HistoGANDiscriminator', in_size=(64, 32), num_stages=2, base_channels=2,
        max_channels=4, num_kernels=3, kernel_size=2,
    ),
    ema_config=dict(_EMA),
)  # fmt: skip
_SEGMENTER = dict(
    type='FCDenseNet', first_channels=4, growth_rate=2, block_layers=(1,), bottleneck_layers=1
)
_PYRAMID = dict(
    type='PyramidGAN',
    num_classes=2,
    scales=[
        dict(size=16, batch_size=2, iters=1),
        dict(size=32, batch_size=4, iters=1, checkpoint=True),
    ],
    generator=dict(type='PyramidGenerator', base_channels=2, num_downsamples=1, num_blocks=1),
    discriminator=dict(
        type='PyramidDiscriminator', base_channels=2, num_layers=1, num_discriminators=2
    ),
    segmenter=_SEGMENTER,
    segmenter_noise=0.1,
    synthetic_start=0,
)
_ONE_SCALE = dict(
    type='PyramidGAN', num_classes=2, scales=[dict(size=32, batch_size=4, iters=1)]
)  # fmt: skip


class Kind(NamedTuple):
    """A model, and what a step of it takes.

    Attributes:
        config (dict): Of the model.
        parts (tuple[str, ...]): Networks with an optimizer.
        size (tuple[int, int]): Height and width of the images.
        unlabelled (int | None): Images of a batch without a mask; None: images with class labels.
        options (dict): Of the optimizers.
    """

    config: dict
    parts: tuple = ('generator', 'discriminator')
    size: tuple = (32, 32)
    unlabelled: int = None
    options: dict = {}

    def build(self) -> BaseModel:
        """On the host, in training mode, at its last scale."""
        torch.manual_seed(0)
        model = MODELS.build(ConfigDict(self.config))
        for index in range(1, len(self.config.get('scales', ()))):
            model.begin_scale(index)
        model.scale_epoch = 100.0  # the terms that come late take part
        if hasattr(model, 'autoencoder_is_trained'):
            model.autoencoder_is_trained.fill_(True)
        return model.train()

    def optimizers(self, model: BaseModel, amp: bool) -> OptimWrapperDict:
        """As a config's, with ``--amp`` or without."""
        constructor = 'MultiOptimWrapperConstructor'
        if 'scales' in self.config:
            constructor = 'ScaleOptimWrapperConstructor'
        config = ConfigDict(constructor=constructor)
        for part in self.parts:
            config[part] = dict(optimizer=dict(type='Adam', lr=1e-3, **self.options))
        if amp:
            assert enable_amp(config).startswith('bfloat16')
        return build_optim_wrapper(model, config)

    def batch(self, count: int = 4) -> dict:
        """A collated batch on the host."""
        draws = generator_for(0, 'placement')
        img = torch.randint(0, 256, (count, 3, *self.size), dtype=torch.uint8, generator=draws)
        if self.unlabelled is None:
            samples = DataSample()
            samples.set_gt_label(torch.arange(count) % 3)
            return dict(inputs=dict(img=img), data_samples=samples)
        mask = torch.randint(0, 2, (count, *self.size), dtype=torch.uint8, generator=draws)
        labelled = torch.arange(count) < count - self.unlabelled
        return dict(inputs=dict(img=img, mask=mask, labelled=labelled), data_samples=None)


KINDS: Dict[str, Kind] = {
    'CellGAN': Kind(_CELLGAN, options=dict(fused=True)),
    'CellGAN-plus': Kind(_CELLGAN_PLUS, options=dict(fused=True)),
    'BigGAN': Kind(_BIGGAN),
    'SNGAN': Kind(_SNGAN),
    'autoencoder': Kind(_FIRST_STAGE, ('autoencoder', 'discriminator')),
    'VQ autoencoder': Kind(
        dict(_FIRST_STAGE, autoencoder=dict(_AUTOENCODER, type='VQModel', num_vq_embeddings=8)),
        ('autoencoder', 'discriminator'),
    ),
    'latent diffusion': Kind(_LDM, ('generator',)),
    'HistoGAN': Kind(_HISTOGAN, size=(64, 32)),
    'pyramid GAN, 2 scales': Kind(
        dict(_PYRAMID, semi_supervised=True, pseudo_probability=1.0),
        ('generator', 'discriminator', 'segmenter'),
        unlabelled=2,
    ),
    'mean teacher': Kind(
        dict(_ONE_SCALE, type='MeanTeacher', segmenter=_SEGMENTER), ('segmenter',), unlabelled=2
    ),
    'pix2pix': Kind(
        dict(
            _ONE_SCALE,
            generator=dict(
                type='MaskUNetGenerator', num_down=5, base_channels=2, use_dropout=True
            ),
            discriminator=dict(
                type='PyramidDiscriminator', base_channels=2, num_layers=1, num_discriminators=1,
                norm='BN',
            ),
        ),
        unlabelled=0,
    ),
    'FC-DenseNet': Kind(
        dict(_ONE_SCALE, segmenter=_SEGMENTER, generator=None), ('segmenter',), unlabelled=0
    ),
}  # fmt: skip
