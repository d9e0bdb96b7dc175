"""Stage 1 of latent diffusion: train the autoencoder (Rombach et al. 2022, Sec. 3.1)."""

from typing import Dict, List, Optional, Union

import torch
import torch.nn.functional as F
from mmagic.models.utils import set_requires_grad
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine.dist import all_reduce
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.latent_diffusion.autoencoder import build_autoencoder
from cellgan_plugin.models.repeatable_step import RepeatableStep


@MODELS.register_module()
class LatentAutoencoder(RepeatableStep, BaseModel):
    """Autoencoder with the losses of Rombach et al.: L1, perceptual, regulariser, PatchGAN hinge.

    Trains with MMagic's ``MultiOptimWrapperConstructor``, keys ``autoencoder`` and, where there is
    one, ``discriminator``. Every term is a mean over all values; see :class:`KLAutoencoder` for
    what that makes of the paper's weight.

    Args:
        autoencoder (dict): ``type`` 'AutoencoderKL' or 'VQModel' and its arguments in diffusers;
            ``sample_size`` is the side of the images.
        discriminator (dict, optional): E.g. MMagic's ``PatchDiscriminator``. Defaults to None: no
            adversarial term.
        regulariser_weight (float, optional): Of KL or codebook loss. Defaults to None: 1e-6 for
            AutoencoderKL, 1 for VQModel.
        perceptual_loss (dict, optional): Defaults to None: no such term.
        adversarial_loss (dict): Defaults to ``dict(type='HingeGANLoss')``.
        discriminator_weight (float): Of the adversarial term. Defaults to 0.5.
        adaptive_weight (bool): Multiply it by the ratio of the gradients' norms at the decoder's
            last layer (Esser et al. 2021, Eq. 7). Defaults to True.
        disc_start (int): First iteration, from 0, of the discriminator and of the adversarial
            term. Defaults to 0.
        data_preprocessor (dict): Defaults to ``dict(type='CellDataPreprocessor')``.
        seed (int): Base seed of the training steps where no Runner has said one. Defaults to 0.

    Raises:
        ValueError: The autoencoder cannot be built.
    """

    def __init__(
        self,
        autoencoder: dict,
        discriminator: Optional[dict] = None,
        regulariser_weight: Optional[float] = None,
        perceptual_loss: Optional[dict] = None,
        adversarial_loss: Optional[dict] = None,
        discriminator_weight: float = 0.5,
        adaptive_weight: bool = True,
        disc_start: int = 0,
        data_preprocessor: Optional[dict] = None,
        seed: int = 0,
    ):
        super().__init__(data_preprocessor or dict(type='mmagic.CellDataPreprocessor'))
        self.autoencoder = build_autoencoder(autoencoder)
        self.discriminator = discriminator and MODELS.build(discriminator)
        if hasattr(self.discriminator, 'init_weights'):
            # Here, not by the Runner: MMagic 1.2.0's PatchDiscriminator fails as a part of another
            # model (UnboundLocalError in generation_init_weights).
            self.discriminator.init_weights()
        self.perceptual_loss = perceptual_loss and MODELS.build(perceptual_loss)
        self.adversarial_loss = MODELS.build(adversarial_loss or dict(type='HingeGANLoss'))
        if regulariser_weight is None:
            regulariser_weight = self.autoencoder.default_weight
        self.regulariser_weight = regulariser_weight
        self.discriminator_weight = discriminator_weight
        self.adaptive_weight = adaptive_weight
        self.disc_start = disc_start
        self.seed = seed
        self.to(memory_format=torch.channels_last)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def check_dataset(self, dataset) -> None:
        """Compare a training set with the model, before the first step.

        Raises:
            ValueError: Its images are not those of ``autoencoder.sample_size`` and ``in_channels``.
        """
        check_images(unwrap(self.autoencoder), dataset)

    @torch.no_grad()
    def reconstruct(self, img: Tensor) -> Tensor:
        """Encode and decode images (N, C, S, S) in [-1, 1] without noise."""
        bare = unwrap(self.autoencoder)
        return bare.decode(bare.encode(img)).float().clamp(-1, 1)

    def forward(
        self,
        inputs: Union[dict, Tensor],
        data_samples: Optional[DataSample] = None,
        mode: str = 'tensor',
    ) -> Union[Tensor, List[DataSample]]:
        """Reconstruct images.

        Args:
            inputs (dict | Tensor): Images in [-1, 1], bare or as ``img``.
            data_samples (DataSample, optional): Passed on.
            mode (str): ``'tensor'`` returns :meth:`reconstruct`; ``'predict'`` what MMagic's
                metrics of single images (PSNR, SSIM) read.

        Returns:
            Tensor | list[DataSample]: (N, C, S, S), or per image ``gt_img`` and
            ``output.pred_img``, (C, S, S) whole grey levels in [0, 255], BGR.
        """
        img = inputs['img'] if isinstance(inputs, dict) else inputs
        reconstruction = self.reconstruct(img)
        if mode == 'tensor':
            return reconstruction
        if mode != 'predict':
            raise ValueError(f"mode={mode!r}: must be 'tensor' or 'predict'")
        grey = [self.data_preprocessor.destruct(x).round() for x in (img, reconstruction)]
        return [
            DataSample(gt_img=image, output=DataSample(pred_img=rebuilt))
            for image, rebuilt in zip(*(x.cpu() for x in grey), strict=True)
        ]

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> Dict[str, Tensor]:
        """One iteration: autoencoder, then discriminator on the same reconstruction.

        Args:
            data (dict): A batch as the loader gives it (see :class:`CellDataPreprocessor`).
            optim_wrapper (OptimWrapperDict): Keys ``autoencoder`` and ``discriminator``.

        Returns:
            dict[str, Tensor]: ``loss_l1``, ``loss_perceptual``, ``loss_kl`` or ``loss_codebook``,
            their sum ``loss``, and from ``disc_start`` on ``loss_gen`` (in the sum),
            ``loss_disc_real``, ``loss_disc_fake``, and the mean logits ``disc_real``,
            ``disc_fake``.
        """
        iteration = self.begin_step()
        img = self.data_preprocessor(data, True)['inputs']['img']
        adversarial = self.discriminator is not None and iteration >= self.disc_start
        if self.discriminator is not None:
            set_requires_grad(self.discriminator, False)
        with optim_wrapper['autoencoder'].optim_context(self.autoencoder):
            log, reconstruction = self._train_autoencoder(
                img, optim_wrapper['autoencoder'], adversarial
            )
        if self.discriminator is not None:
            set_requires_grad(self.discriminator, True)
        if adversarial:
            with optim_wrapper['discriminator'].optim_context(self.discriminator):
                log.update(
                    self._train_discriminator(img, reconstruction, optim_wrapper['discriminator'])
                )
        return log

    def _train_autoencoder(self, img: Tensor, wrapper, adversarial: bool) -> tuple:
        size = unwrap(self.autoencoder).noise_size
        noise = self.step_random.normal('posterior', len(img), size) if size else None
        out = self.autoencoder(img, noise)
        reconstruction = out.pop('reconstruction').float()
        losses = dict(loss_l1=F.l1_loss(reconstruction, img))
        if self.perceptual_loss is not None and self.perceptual_loss.enabled:
            losses['loss_perceptual'] = self.perceptual_loss(reconstruction, img)
        of_images = sum(losses.values())
        name = unwrap(self.autoencoder).loss_name
        losses[name] = self.regulariser_weight * out.pop('regulariser')
        if adversarial:
            term = self.adversarial_loss.generator(self.discriminator(reconstruction))
            weight = self.discriminator_weight
            if self.adaptive_weight:
                ratio = self._gradient_ratio(of_images, term)
                out['adaptive_weight'] = ratio
                weight = weight * ratio
            losses['loss_gen'] = weight * term
        loss, log = self.parse_losses({**losses, **out})
        wrapper.update_params(loss)
        return log, reconstruction.detach()

    def _gradient_ratio(self, of_images: Tensor, adversarial: Tensor) -> Tensor:
        """Esser et al. 2021, Eq. (7), of the gradients of the global batch; at most 1e4."""
        last = unwrap(self.autoencoder).last_layer
        norms = []
        for term in (of_images, adversarial):
            (gradient,) = torch.autograd.grad(term, last, retain_graph=True)
            all_reduce(gradient, op='mean')
            norms.append(gradient.float().norm())
        return (norms[0] / (norms[1] + 1e-4)).clamp(max=1e4)

    def _train_discriminator(self, img: Tensor, reconstruction: Tensor, wrapper) -> Dict:
        real, fake = self.discriminator(img), self.discriminator(reconstruction)
        losses = self.adversarial_loss.discriminator(real, fake)
        losses['disc_real'] = real.detach().float().mean()
        losses['disc_fake'] = fake.detach().float().mean()
        loss, log = self.parse_losses(losses)
        wrapper.update_params(loss)
        log.pop('loss')  # that of the autoencoder is the one in the log
        return log


def check_images(autoencoder, dataset) -> None:
    """Compare the images of a data set with an :class:`ImageAutoencoder`.

    Raises:
        ValueError: They differ in size or channels; the message names both sides.
    """
    inputs = dataset[0]['inputs']
    shape = tuple((inputs['img'] if isinstance(inputs, dict) else inputs).shape)
    own = (autoencoder.in_channels, autoencoder.image_size, autoencoder.image_size)
    if shape != own:
        raise ValueError(
            f'the training set gives images of shape {shape} (channels, height, width) but '
            f'model.autoencoder is for {own}: set out_size of FitCellPatch and channels of the '
            'data set, or sample_size and in_channels of model.autoencoder'
        )
