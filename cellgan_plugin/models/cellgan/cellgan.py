"""CellGAN as a MMagic model: generator, discriminator and the objective of Eq. (2)."""

from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Type, Union

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapper
from packaging.version import Version
from torch import Tensor, nn

from cellgan_plugin.models.cellgan.discriminator import CellGANDiscriminator
from cellgan_plugin.models.conditional_gan import ConditionalGAN, unwrap
from cellgan_plugin.models.layers import class_weights, normalised_once

_COMPILES_FROM = Version('2.5')


def _input_gradient_of(kind: Type) -> Optional[Callable]:
    """``input_gradient`` of a class of discriminators; None where it is not that of its forward.

    A subclass that changes what the network computes, and inherits the written-out gradient, would
    get the R1 of another network without an error; it gets the double backward.
    """
    for parent in kind.__mro__:  # from the subclass up
        if 'input_gradient' in vars(parent):
            return parent.input_gradient
        if vars(parent).keys() & {'forward', 'features', 'logits'}:
            return None
    return None


def _without_decoders(discriminator: Any) -> Any:
    """The config of a discriminator of this package, whose decoders nothing would train."""
    if not isinstance(discriminator, Mapping):
        return discriminator
    kind = discriminator.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, CellGANDiscriminator)):
        return discriminator
    return {**discriminator, 'decoder_channels': None}


@MODELS.register_module()
class CellGAN(ConditionalGAN):
    """Class-conditional GAN for cervical cells (Shen et al., MICCAI 2023).

    Trains with hinge loss + reconstruction + R1 (Eq. 2) under MMEngine's Runner with MMagic's
    ``MultiOptimWrapperConstructor`` (keys ``generator`` and ``discriminator``).

    Args:
        generator (dict | nn.Module): :class:`CellGANGenerator`.
        discriminator (dict | nn.Module, optional): :class:`CellGANDiscriminator`. Not needed to
            sample.
        adversarial_loss (dict): A loss that ``needs_real`` (:class:`RelativisticLoss`) gets the
            logits of the real batch in the generator's step as well.
            Defaults to ``dict(type='HingeGANLoss')``.
        reconstruction_loss (dict, optional): None builds no decoders: on several processes their
            unused weights would be waited for.
            Defaults to ``dict(type='ReconstructionLoss')``.
        r1_loss (dict, optional): None does no second backward.
            Defaults to ``dict(type='R1Penalty', loss_weight=0.01)``.
        augment (dict): What the discriminator's images go through: :class:`DiffAugment`, or
            :class:`AdaptiveAugment`, whose probability is logged as ``augment_probability``.
            Defaults to ``dict(type='DiffAugment')``.
        r2_loss (dict, optional): The same penalty on generated, un-augmented images (Mescheder et
            al. 2018, Eq. (10)); not in the paper. Defaults to None.
        compile (bool | dict): Compile both networks and R1; a dict holds arguments of
            ``torch.compile``, e.g. ``dict(mode='reduce-overhead')`` for CUDA graphs. Checkpoints
            do not change. Not with torch 2.4, which fails at spectral norm. Defaults to False.
        **kwargs: Of :class:`ConditionalGAN`.

    Raises:
        ValueError: Generator and discriminator do not fit together, or ``compile`` with torch 2.4.
    """

    def __init__(
        self,
        generator: Union[dict, nn.Module],
        discriminator: Optional[Union[dict, nn.Module]] = None,
        adversarial_loss: Optional[dict] = None,
        reconstruction_loss: Optional[dict] = dict(type='ReconstructionLoss'),  # noqa: B006
        r1_loss: Optional[dict] = dict(type='R1Penalty', loss_weight=0.01),  # noqa: B006
        augment: Optional[dict] = None,
        compile: Union[bool, dict] = False,
        r2_loss: Optional[dict] = None,
        **kwargs,
    ):
        if reconstruction_loss is None:
            discriminator = _without_decoders(discriminator)
        super().__init__(generator, discriminator, **kwargs)
        self.adversarial_loss = MODELS.build(adversarial_loss or dict(type='HingeGANLoss'))
        self.reconstruction_loss = reconstruction_loss and MODELS.build(reconstruction_loss)
        self.r1_loss = r1_loss and MODELS.build(r1_loss)
        self.r2_loss = r2_loss and MODELS.build(r2_loss)
        self.augment = MODELS.build(augment or dict(type='DiffAugment'))
        if self.discriminator is not None:
            self._check_fit()
        # Convolutions are faster so on CPUs and tensor cores alike; no number changes.
        self.to(memory_format=torch.channels_last)
        self._input_gradient = _input_gradient_of(type(self.discriminator))
        self.is_compiled = compile is not False
        if self.is_compiled:
            self._compile({} if compile is True else dict(compile))

    def _compile(self, arguments: dict) -> None:
        if Version(torch.__version__) < _COMPILES_FROM:
            raise ValueError(
                f'CellGAN: compile needs torch {_COMPILES_FROM} or newer: the compiler of '
                f'{torch.__version__} fails at layers with spectral norm; leave compile out'
            )
        # Not train_step, whose locks break the graph. In place, so that the names of weights stay.
        self.generator.compile(**arguments)
        if self.discriminator is not None:
            self.discriminator.compile(**arguments)
        if self._input_gradient is not None:
            self._input_gradient = torch.compile(self._input_gradient, **arguments)

    def _check_fit(self) -> None:
        self.check_equal(
            ('out_size', 'in_size'),
            ('num_classes', 'num_classes'),
            ('out_channels', 'in_channels'),
        )
        if self.reconstruction_loss and not getattr(self.discriminator, 'has_decoders', False):
            raise ValueError(
                'reconstruction_loss is set but the discriminator has no decoders: '
                'set reconstruction_loss=None, or decoder_channels of the discriminator'
            )

    @property
    def _is_relative(self) -> bool:
        """Whether logits count in pairs of a real and a generated image only."""
        return getattr(self.adversarial_loss, 'needs_real', False)

    def _augmented(self, img: Tensor, purpose: str) -> Tensor:
        count = self.augment.num_numbers
        if count == 0:
            return img
        return self.augment(img, self.step_random.uniform(purpose, len(img), count))

    def generate(self, sample_model: str, noise: Tensor, labels: Tensor, **sample_kwargs) -> Tensor:
        """Images, see :meth:`ConditionalGAN.generate`."""
        # As class weights: the check of class indices, which has been made, is no part of a graph.
        labels = class_weights(labels, self.num_classes).to(noise.dtype)
        return super().generate(sample_model, noise, labels, **sample_kwargs)

    def train_step(self, data: dict, optim_wrapper) -> Dict[str, Tensor]:
        """One iteration, see :meth:`ConditionalGAN.train_step`."""
        if self.is_compiled:
            # CUDA graphs may reuse the memory of the iteration before.
            torch.compiler.cudagraph_mark_step_begin()
        return super().train_step(data, optim_wrapper)

    def _generated(self, purpose: str, labels: Tensor) -> Tensor:
        noise = self.step_random.normal(purpose, len(labels), self.noise_size)
        # As class weights: the check of class indices would wait for the GPU at every pass.
        one_hot = class_weights(labels, self.num_classes).to(noise.dtype)
        return self.generator(noise, label=one_hot, return_noise=False)

    def train_discriminator(
        self, inputs: dict, data_samples: DataSample, optimizer_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Update the discriminator once (Eq. 2; the generator runs without gradient).

        Args:
            inputs (dict): ``img`` (N, C, H, W) in [-1, 1].
            data_samples (DataSample): With ``gt_label`` (N,).
            optimizer_wrapper (OptimWrapper): Of the discriminator.

        Returns:
            dict[str, Tensor]: ``loss_disc_real``, ``loss_disc_fake`` (of
            :class:`RelativisticLoss` ``loss_disc``), ``loss_recon``, ``loss_r1``, ``loss_r2``, as
            far as they are set, their sum ``loss``, the mean logits ``disc_real``,
            ``disc_fake``, and with an augmentation that adapts ``augment_probability``.
        """
        real = inputs['img']
        real_labels = self.data_sample_to_label(data_samples)
        if real_labels is None:
            raise ValueError('the batch has no gt_label: CellGAN needs a label for every image')
        fake_labels = self.training_labels(real_labels)
        with torch.no_grad():
            fake = self._generated('noise_disc', fake_labels)
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
            losses['loss_r1'] = self._gradient_penalty(self.r1_loss, real, real_labels)
        if self.r2_loss:
            losses['loss_r2'] = self._gradient_penalty(self.r2_loss, fake, fake_labels)
        if getattr(self.augment, 'adapts', False):
            losses['augment_probability'] = self.augment.observe(
                real_logits.detach(), fake_logits.detach() if self._is_relative else None
            )
        losses['disc_real'] = real_logits.detach().float().mean()
        losses['disc_fake'] = fake_logits.detach().float().mean()
        return losses

    def _gradient_penalty(self, penalty: nn.Module, img: Tensor, labels: Tensor) -> Tensor:
        if self.step_random.iteration % penalty.interval:
            return img.new_zeros(())
        gradient_of = None
        if self._input_gradient is not None:
            gradient_of = partial(self._input_gradient, unwrap(self.discriminator), label=labels)
        return penalty(lambda img: self.discriminator(img, label=labels), img, gradient_of)

    def train_generator(
        self, inputs: dict, data_samples: DataSample, optimizer_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Update the generator once; the discriminator is frozen.

        Args:
            inputs (dict): ``img`` (N, C, H, W) in [-1, 1], for a loss that ``needs_real`` only.
            data_samples (DataSample): ``gt_label`` (N,): labels, or their number.
            optimizer_wrapper (OptimWrapper): Of the generator.

        Returns:
            dict[str, Tensor]: ``loss_gen`` and ``loss``.
        """
        real_labels = self.data_sample_to_label(data_samples)
        labels = self.training_labels(real_labels)
        fake = self._generated('noise_gen', labels)
        logits = [self.discriminator(self._augmented(fake, 'augment_gen'), label=labels)]
        if self._is_relative:
            real = self._augmented(inputs['img'], 'augment_gen_real')
            with torch.no_grad():
                logits.append(self.discriminator(real, label=real_labels))
        loss, log_vars = self.parse_losses(dict(loss_gen=self.adversarial_loss.generator(*logits)))
        optimizer_wrapper.update_params(loss)
        return log_vars
