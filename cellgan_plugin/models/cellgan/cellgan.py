"""CellGAN as a MMagic model: generator, discriminator and the objective of Eq. (2)."""

from functools import partial
from typing import Dict, Optional, Union

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from cellgan_plugin.models.conditional_gan import ConditionalGAN, unwrap
from cellgan_plugin.models.layers import normalised_once


@MODELS.register_module()
class CellGAN(ConditionalGAN):
    """Class-conditional GAN for cervical cells (Shen et al., MICCAI 2023).

    Trains with hinge loss + reconstruction + R1 (Eq. 2) under MMEngine's Runner with MMagic's
    ``MultiOptimWrapperConstructor`` (keys ``generator`` and ``discriminator``).

    Args:
        generator (dict | nn.Module): :class:`CellGANGenerator`.
        discriminator (dict | nn.Module, optional): :class:`CellGANDiscriminator`. Not needed to
            sample.
        adversarial_loss (dict): Defaults to ``dict(type='HingeGANLoss')``.
        reconstruction_loss (dict, optional): None does no decoder work.
            Defaults to ``dict(type='ReconstructionLoss')``.
        r1_loss (dict, optional): None does no second backward.
            Defaults to ``dict(type='R1Penalty', loss_weight=0.01)``.
        augment (dict): What the discriminator's images go through.
            Defaults to ``dict(type='DiffAugment')``.
        **kwargs: Of :class:`ConditionalGAN`.

    Raises:
        ValueError: When generator and discriminator do not fit together.
    """

    def __init__(
        self,
        generator: Union[dict, nn.Module],
        discriminator: Optional[Union[dict, nn.Module]] = None,
        adversarial_loss: Optional[dict] = None,
        reconstruction_loss: Optional[dict] = dict(type='ReconstructionLoss'),  # noqa: B006
        r1_loss: Optional[dict] = dict(type='R1Penalty', loss_weight=0.01),  # noqa: B006
        augment: Optional[dict] = None,
        **kwargs,
    ):
        super().__init__(generator, discriminator, **kwargs)
        self.adversarial_loss = MODELS.build(adversarial_loss or dict(type='HingeGANLoss'))
        self.reconstruction_loss = reconstruction_loss and MODELS.build(reconstruction_loss)
        self.r1_loss = r1_loss and MODELS.build(r1_loss)
        self.augment = MODELS.build(augment or dict(type='DiffAugment'))
        if self.discriminator is not None:
            self._check_fit()
        # Convolutions are faster so on CPUs and tensor cores alike; no number changes.
        self.to(memory_format=torch.channels_last)

    def _check_fit(self) -> None:
        pairs = [('out_size', 'in_size'), ('num_classes',) * 2, ('out_channels', 'in_channels')]
        for of_generator, of_discriminator in pairs:
            a = getattr(self.generator, of_generator, None)
            b = getattr(self.discriminator, of_discriminator, None)
            if a is not None and b is not None and a != b:
                raise ValueError(
                    f'generator.{of_generator}={a} but discriminator.{of_discriminator}={b}: '
                    'they must be equal'
                )
        if self.reconstruction_loss and not getattr(self.discriminator, 'has_decoders', False):
            raise ValueError(
                'reconstruction_loss is set but the discriminator has no decoders: '
                'set reconstruction_loss=None, or decoder_channels of the discriminator'
            )

    def _augmented(self, img: Tensor, purpose: str) -> Tensor:
        count = self.augment.num_numbers
        if count == 0:
            return img
        return self.augment(img, self.step_random.uniform(purpose, len(img), count))

    def train_discriminator(
        self, inputs: dict, data_samples: DataSample, optimizer_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Update the discriminator once (Eq. 2; the generator runs without gradient).

        Args:
            inputs (dict): ``img`` (N, C, H, W) in [-1, 1].
            data_samples (DataSample): With ``gt_label`` (N,).
            optimizer_wrapper (OptimWrapper): Of the discriminator.

        Returns:
            dict[str, Tensor]: ``loss_disc_real``, ``loss_disc_fake``, ``loss_recon``, ``loss_r1``,
            their sum ``loss``, and the mean logits ``disc_real``, ``disc_fake``.
        """
        real = inputs['img']
        real_labels = self.data_sample_to_label(data_samples)
        if real_labels is None:
            raise ValueError('the batch has no gt_label: CellGAN needs a label for every image')
        fake_labels = self.training_labels(real_labels)
        noise = self.step_random.normal('noise_disc', len(real), self.noise_size)
        with torch.no_grad():
            fake = self.generator(noise, label=fake_labels, return_noise=False)
        with normalised_once(unwrap(self.discriminator)):
            losses = self._discriminator_losses(real, real_labels, fake, fake_labels)
            loss, log_vars = self.parse_losses(losses)
        optimizer_wrapper.update_params(loss)
        return log_vars

    def _discriminator_losses(
        self, real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor
    ) -> Dict[str, Tensor]:
        bare = unwrap(self.discriminator)
        seen = self._augmented(real, 'augment_real')
        losses: Dict[str, Tensor] = {}
        if self.reconstruction_loss:
            offset = self.step_random.integers('crop', bare.max_crop_offset + 1, 2)
            real_logits, crop, half = self.discriminator(
                seen, label=real_labels, crop_offset=offset
            )
            rows, columns = bare.crop_box(offset)
            losses['loss_recon'] = self.reconstruction_loss(
                crop, half, seen[:, :, rows, columns], seen
            )
        else:
            real_logits = self.discriminator(seen, label=real_labels)
        fake_logits = self.discriminator(self._augmented(fake, 'augment_fake'), label=fake_labels)
        losses.update(self.adversarial_loss.discriminator(real_logits, fake_logits))
        if self.r1_loss:
            gradient_of = None
            if hasattr(bare, 'input_gradient'):
                gradient_of = partial(bare.input_gradient, label=real_labels)
            losses['loss_r1'] = self.r1_loss(
                lambda img: self.discriminator(img, label=real_labels),
                real,
                gradient_of,
            )
        losses['disc_real'] = real_logits.detach().float().mean()
        losses['disc_fake'] = fake_logits.detach().float().mean()
        return losses

    def train_generator(
        self, inputs: dict, data_samples: DataSample, optimizer_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Update the generator once; the discriminator is frozen and no real image is needed.

        Args:
            inputs (dict): ``img``, for the batch size only.
            data_samples (DataSample): ``gt_label`` for ``fake_labels='data'``.
            optimizer_wrapper (OptimWrapper): Of the generator.

        Returns:
            dict[str, Tensor]: ``loss_gen`` and ``loss``.
        """
        batch_size = len(inputs['img'])
        labels = self.training_labels(self.data_sample_to_label(data_samples))
        noise = self.step_random.normal('noise_gen', batch_size, self.noise_size)
        fake = self.generator(noise, label=labels, return_noise=False)
        logits = self.discriminator(self._augmented(fake, 'augment_gen'), label=labels)
        loss, log_vars = self.parse_losses(dict(loss_gen=self.adversarial_loss.generator(logits)))
        optimizer_wrapper.update_params(loss)
        return log_vars
