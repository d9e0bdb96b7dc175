"""HistoGAN as a MMagic model: generator, one critic per stage, and their objective (Sec. 4.2.1)."""

from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from cellgan_plugin.models.conditional_gan import ConditionalGAN, unwrap
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.models.layers import at_least_float32, class_weights, evaluating
from cellgan_plugin.models.sampling import default_sample_model

from .stages import image_pyramid


@MODELS.register_module()
class HistoGAN(ConditionalGAN):
    """Multi-stage class-conditional GAN for tissue patches (Xue et al., Med. Image Anal. 2021).

    All stages train together, as in StackGAN++: one optimizer for the generator, one for the
    critics, the losses of the stages summed. Real images are averaged down to the smaller stages on
    the device. Trains under MMEngine's Runner with MMagic's ``MultiOptimWrapperConstructor`` (keys
    ``generator`` and ``discriminator``).

    ``sample_kwargs=dict(return_stages=True)`` of :meth:`forward` adds the images of the earlier
    stages to every data sample as ``stage_1``, ``stage_2``, ...; ``fake_img`` is the last stage.

    Args:
        generator (dict | nn.Module): :class:`HistoGANGenerator`.
        discriminator (dict | nn.Module, optional): :class:`HistoGANDiscriminator`. Not needed to
            sample.
        adversarial_loss (dict): Of every stage. Defaults to ``dict(type='WassersteinLoss')``.
        gradient_penalty (dict, optional): None does no second backward.
            Defaults to ``dict(type='GradientPenalty', loss_weight=50.0)``.
        r1_loss (dict, optional): :class:`R1Penalty` on the real images of every stage, for critics
            with ``batch_norm=False``. Not in the paper. Defaults to None.
        r2_loss (dict, optional): The same on generated images (Mescheder et al. 2018).
            Defaults to None.
        **kwargs: Of :class:`ConditionalGAN`.

    Raises:
        ValueError: When generator and discriminator do not fit together.
    """

    def __init__(
        self,
        generator: Union[dict, nn.Module],
        discriminator: Optional[Union[dict, nn.Module]] = None,
        adversarial_loss: Optional[dict] = None,
        gradient_penalty: Optional[dict] = dict(type='GradientPenalty', loss_weight=50.0),  # noqa: B006
        r1_loss: Optional[dict] = None,
        r2_loss: Optional[dict] = None,
        **kwargs,
    ):
        super().__init__(generator, discriminator, **kwargs)
        self.adversarial_loss = MODELS.build(adversarial_loss or dict(type='WassersteinLoss'))
        self.gradient_penalty = gradient_penalty and MODELS.build(gradient_penalty)
        self.r1_loss = r1_loss and MODELS.build(r1_loss)
        self.r2_loss = r2_loss and MODELS.build(r2_loss)
        if self.discriminator is not None:
            self._check_fit()
        # Convolutions are faster so on CPUs and tensor cores alike; no number changes.
        self.to(memory_format=torch.channels_last)

    def _check_fit(self) -> None:
        self.check_equal(
            ('out_size', 'in_size'),
            ('num_stages', 'num_stages'),
            ('num_classes', 'num_classes'),
            ('out_channels', 'in_channels'),
        )
        if (self.r1_loss or self.r2_loss) and self.discriminator.batch_norm:
            raise ValueError(
                'r1_loss and r2_loss penalise the gradient at each image, and batch normalisation '
                'makes every logit depend on the whole batch: set discriminator.batch_norm=False '
                'and discriminator.projection=True'
            )

    # Sampling -----------------------------------------------------------------------------------

    def _image_fields(
        self, images: Union[Tensor, Sequence[Tensor]], data_samples: Optional[DataSample]
    ) -> Dict[str, Tensor]:
        """See the base; with ``return_stages`` there are several batches."""
        if isinstance(images, Tensor):
            return super()._image_fields(images, data_samples)
        *earlier, last = images
        fields = super()._image_fields(last, data_samples)
        for number, batch in enumerate(earlier, start=1):
            fields[f'stage_{number}'] = self.data_preprocessor.destruct(batch, data_samples)
        return fields

    @torch.no_grad()
    def stage_images(
        self, noise: Tensor, labels: Tensor, sample_model: Optional[str] = None
    ) -> List[Tensor]:
        """Images of every stage as saved PNGs would hold them; sample sheets ask for them.

        Puts the generator into evaluation mode for the call.

        Args:
            noise (Tensor): z (N, noise_size), on any device.
            labels (Tensor): (N,) int, on any device.
            sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where there is
                one.

        Returns:
            list[Tensor]: uint8 (N, C, height, width), RGB, smallest first.

        Raises:
            FloatingPointError: An image holds NaN: the model has diverged.
        """
        generator = unwrap(self._generator_of(sample_model or default_sample_model(self)))
        with evaluating(generator):
            stages = generator(
                noise.to(self.device), label=labels.to(self.device), return_stages=True
            )
        if not all(torch.isfinite(images).all() for images in stages):
            raise FloatingPointError(
                'the generator gives NaN images: it has diverged; use an earlier checkpoint'
            )
        return [to_uint8(images) for images in stages]

    # Training -----------------------------------------------------------------------------------

    def train_discriminator(
        self, inputs: dict, data_samples: DataSample, optimizer_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Update the critics of all stages once; the generator runs without gradient.

        Args:
            inputs (dict): ``img`` (N, C, H, W) in [-1, 1].
            data_samples (DataSample): With ``gt_label`` (N,).
            optimizer_wrapper (OptimWrapper): Of the discriminator.

        Returns:
            dict[str, Tensor]: For every stage k from 1 ``loss_disc_stage<k>`` (of
            :class:`WassersteinLoss`), ``loss_disc_gp_stage<k>`` and the mean logits
            ``disc_real_stage<k>``, ``disc_fake_stage<k>``; and the sum of the losses ``loss``.
        """
        real_labels = self.data_sample_to_label(data_samples)
        if real_labels is None:
            raise ValueError('the batch has no gt_label: HistoGAN needs a label for every image')
        real = image_pyramid(inputs['img'], unwrap(self.generator).num_stages)
        fake_labels = self.training_labels(real_labels)
        noise = self.step_random.normal('noise_disc', len(real_labels), self.noise_size)
        with torch.no_grad():
            fake = self._stages(noise, fake_labels)

        losses: Dict[str, Tensor] = {}
        logits, statistics = self._judge_together(real, fake, real_labels, fake_labels)
        for k, (of_real, of_fake) in enumerate(logits, start=1):
            for name, value in self.adversarial_loss.discriminator(of_real, of_fake).items():
                losses[f'{name}_stage{k}'] = value
            losses[f'disc_real_stage{k}'] = of_real.detach().float().mean()
            losses[f'disc_fake_stage{k}'] = of_fake.detach().float().mean()
        if self.gradient_penalty:
            penalties = self._penalties(real, fake, real_labels, fake_labels, statistics)
            for k, value in enumerate(penalties, start=1):
                losses[f'loss_disc_gp_stage{k}'] = value
        for name, penalty, images, labels in (
            ('r1', self.r1_loss, real, real_labels),
            ('r2', self.r2_loss, fake, fake_labels),
        ):
            if penalty and self.step_random.iteration % penalty.interval == 0:
                for k, value in enumerate(self._at_images(penalty, images, labels), start=1):
                    losses[f'loss_disc_{name}_stage{k}'] = value

        loss, log_vars = self.parse_losses(losses)
        optimizer_wrapper.update_params(loss)
        return log_vars

    def _stages(self, noise: Tensor, labels: Tensor) -> List[Tensor]:
        # As class weights: the check of class indices would wait for the GPU at every pass.
        weights = class_weights(labels, self.num_classes)
        return self.generator(noise, label=weights, return_stages=True)

    def _judge_together(
        self,
        real: Sequence[Tensor],
        fake: Sequence[Tensor],
        real_labels: Tensor,
        fake_labels: Tensor,
    ) -> Tuple[List[Tuple[Tensor, Tensor]], list]:
        """Logits (N,) of real and of generated images of every stage; the batch statistics."""
        both = [torch.cat(pair) for pair in zip(real, fake, strict=True)]
        labels = torch.cat([real_labels, fake_labels])
        logits, statistics = self.discriminator(both, label=labels, groups=2)
        return [of_stage.chunk(2) for of_stage in logits], statistics

    def _penalties(
        self,
        real: Sequence[Tensor],
        fake: Sequence[Tensor],
        real_labels: Tensor,
        fake_labels: Tensor,
        statistics: list,
    ) -> List[Tensor]:
        """Gradient penalty of every stage, on mixtures of real and generated images.

        With ``fake_labels='data'`` both images of a pair are of one class, which the mixture bears.
        Else they may differ: the mixture then bears the class of the image it is more of.
        """
        # One share per image: its mixtures at the sizes of the stages are of one class.
        epsilon = self.step_random.uniform('gradient_penalty', len(real_labels), 1)
        labels = torch.where(epsilon[:, 0] >= 0.5, real_labels, fake_labels)
        return self.gradient_penalty(
            lambda mixed: self.discriminator(mixed, label=labels, statistics=statistics)[0],
            real,
            fake,
            epsilon.expand(-1, len(real)),
        )

    def _at_images(
        self, penalty: nn.Module, images: Sequence[Tensor], labels: Tensor
    ) -> List[Tensor]:
        """The penalty of every stage, on the gradients at ``images`` themselves."""
        with torch.autocast(images[0].device.type, enabled=False):
            images = [at_least_float32(batch.detach()).requires_grad_() for batch in images]
            total = sum(logits.sum() for logits in self.discriminator(images, label=labels)[0])
            gradients = torch.autograd.grad(total, images, create_graph=True)
        return [
            penalty(None, batch, lambda _, gradient=gradient: gradient)
            for batch, gradient in zip(images, gradients, strict=True)
        ]

    def train_generator(
        self, inputs: dict, data_samples: DataSample, optimizer_wrapper: OptimWrapper
    ) -> Dict[str, Tensor]:
        """Update the generator once against the critics of all stages, which are frozen.

        Args:
            inputs (dict): ``img``, for the batch size only.
            data_samples (DataSample): ``gt_label`` for ``fake_labels='data'``.
            optimizer_wrapper (OptimWrapper): Of the generator.

        Returns:
            dict[str, Tensor]: ``loss_gen_stage<k>`` of every stage and their sum ``loss``.
        """
        real_labels = self.data_sample_to_label(data_samples)
        labels = self.training_labels(real_labels)
        noise = self.step_random.normal('noise_gen', len(inputs['img']), self.noise_size)
        fake = self._stages(noise, labels)
        real = image_pyramid(inputs['img'], len(fake))
        logits, _ = self._judge_together(real, fake, real_labels, labels)
        relative = getattr(self.adversarial_loss, 'needs_real', False)
        losses = {
            f'loss_gen_stage{k}': self.adversarial_loss.generator(
                of_fake, *([of_real.detach()] if relative else [])
            )
            for k, (of_real, of_fake) in enumerate(logits, start=1)
        }
        loss, log_vars = self.parse_losses(losses)
        optimizer_wrapper.update_params(loss)
        return log_vars
