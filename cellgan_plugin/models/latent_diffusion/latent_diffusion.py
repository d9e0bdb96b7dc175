"""Stage 2 of latent diffusion: a class-conditional diffusion model of an autoencoder's latents."""

from typing import Any, Dict, Mapping, Optional, Union

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.dist import all_reduce
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor

from cellgan_plugin.errors import check_known
from cellgan_plugin.models.conditional_gan import ConditionalGAN, unwrap
from cellgan_plugin.models.latent_diffusion.autoencoder import ImageAutoencoder, build_autoencoder
from cellgan_plugin.models.latent_diffusion.autoencoder_weights import load_autoencoder
from cellgan_plugin.models.latent_diffusion.latent_autoencoder import check_images
from cellgan_plugin.models.latent_diffusion.sampler import (
    check_schedule,
    guided,
    sampling_scheduler,
    solve,
    training_scheduler,
)
from cellgan_plugin.models.latent_diffusion.unet import LatentUNet
from cellgan_plugin.models.model_checks import check_classes

_SAMPLING = dict(sampler='dpm', num_inference_steps=25, guidance_scale=1.0)


@MODELS.register_module()
class LatentDiffusion(ConditionalGAN):
    """Class-conditional latent diffusion (Rombach et al. 2022) with MMagic's interface of a GAN.

    z is the flattened noise of a latent (``noise_size`` = channels x height x width), and both
    samplers are deterministic: an image is a function of (z, label, sampling options), as with a
    GAN, so every tool of the plugin takes this model.

    Trains with MMagic's ``MultiOptimWrapperConstructor`` and the one key ``generator``, the U-Net.
    The autoencoder is frozen and its weights are part of the checkpoint: sampling and resuming
    need one file. A new run loads them from ``autoencoder_checkpoint`` before its first step.

    Args:
        generator (dict | nn.Module): :class:`LatentUNet`.
        autoencoder (dict): As of :class:`LatentAutoencoder`.
        num_classes (int): Without the null class.
        autoencoder_checkpoint (str, optional): Trained weights of the autoencoder, see
            :func:`find_autoencoder`. Defaults to None: this model samples, or resumes.
        autoencoder_config (str, optional): Config that trains them, named when they are missing.
        scheduler (dict): Noise schedule: ``num_train_timesteps``, ``beta_start``, ``beta_end``,
            ``beta_schedule``, ``prediction_type`` ('epsilon', 'v_prediction', 'sample'), ... of
            diffusers' schedulers.
        label_dropout (float): Share of the training labels replaced by the null class, for
            guidance. Defaults to 0.1.
        scale_images (int): Latents are divided by the standard deviation of the first so many
            training images (Rombach et al., App. G), in whole batches; until then by that of the
            images so far. Defaults to 512.
        sampling (dict): Defaults of ``sample_kwargs``: ``sampler`` ('dpm' or 'ddim'),
            ``num_inference_steps``, ``guidance_scale``.
        autoencoder_batch_size (int): Images encoded or decoded at once. Defaults to 16.
        **kwargs: Of :class:`ConditionalGAN`: ``ema_config`` (of the U-Net), ``seed``,
            ``data_preprocessor``.

    Attributes:
        latent_scale (Tensor): What latents are multiplied by, a buffer of the checkpoint.

    Raises:
        ValueError: The latents of the autoencoder do not fit the U-Net, or the numbers of classes
            differ.
    """

    def __init__(
        self,
        generator: Union[dict, LatentUNet],
        autoencoder: Union[dict, ImageAutoencoder],
        num_classes: int,
        autoencoder_checkpoint: Optional[str] = None,
        autoencoder_config: Optional[str] = None,
        scheduler: Optional[Mapping[str, Any]] = None,
        label_dropout: float = 0.1,
        scale_images: int = 512,
        sampling: Optional[Mapping[str, Any]] = None,
        autoencoder_batch_size: int = 16,
        **kwargs,
    ):
        if isinstance(autoencoder, Mapping):
            autoencoder = build_autoencoder(autoencoder)
        if isinstance(generator, Mapping):
            own = generator.get('num_classes', num_classes)
            if own != num_classes:
                raise ValueError(
                    f'model.num_classes={num_classes} but generator.num_classes={own}: they must '
                    'be equal'
                )
            generator = MODELS.build(generator, default_args=dict(num_classes=num_classes))
        _check_fit(autoencoder, generator, num_classes)
        if not 0 <= label_dropout < 1:
            raise ValueError(f'label_dropout={label_dropout}: must be in [0, 1)')
        super().__init__(generator, num_classes=num_classes, **kwargs)
        self.autoencoder = autoencoder.requires_grad_(False).eval()
        self.autoencoder_checkpoint = autoencoder_checkpoint
        self.autoencoder_config = autoencoder_config
        self.schedule = check_schedule(scheduler or {})
        self.training_scheduler = training_scheduler(self.schedule)
        self.label_dropout = label_dropout
        self.scale_images = scale_images
        self.sampling = self._sampling_options(sampling or {})
        self.autoencoder_batch_size = autoencoder_batch_size
        self.register_buffer('latent_scale', torch.ones(()))
        # Of the latents seen for the scale: their number, sum, and sum of squares.
        self.register_buffer('latent_moments', torch.zeros(3, dtype=torch.float64))
        self.register_buffer('autoencoder_is_trained', torch.zeros((), dtype=torch.bool))
        self.to(memory_format=torch.channels_last)

    _is_ready = False
    _scale_is_fixed = False

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_ready = self._scale_is_fixed = False  # the buffers say it anew

    def train(self, mode: bool = True) -> 'LatentDiffusion':
        """As of any module; the autoencoder stays in evaluation mode."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    # Before training ----------------------------------------------------------------------------

    def check_dataset(self, dataset) -> None:
        """Compare a training set with the model, before the first step.

        Raises:
            ValueError: When classes, image size or channels differ; the message names both sides.
        """
        check_classes(self, dataset)
        check_images(self.autoencoder, dataset)

    def prepare_training(self) -> None:
        """Load the trained autoencoder, unless a checkpoint of this model has brought it.

        The training loop calls this before the first batch, after a resumed run's checkpoint is
        loaded; :meth:`train_step` does where there is no Runner.

        Raises:
            FileNotFoundError: There is none; the message names the command that trains it.
            ValueError: It is another autoencoder.
        """
        # Known on the host once it is: reading the buffer waits for the GPU.
        if self._is_ready:
            return
        if not self.autoencoder_is_trained:
            trained = load_autoencoder(
                self.autoencoder, self.autoencoder_checkpoint, self.autoencoder_config
            )
            # For TrainingImagesHook: what the autoencoder has seen, this model has seen.
            self.inherited_training_images = trained.training_images
            self.autoencoder_is_trained.fill_(True)
        self._is_ready = True

    # Latents ------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, img: Tensor, noise: Optional[Tensor] = None) -> Tensor:
        """Latents before scaling, float32 (N, C, h, w), of images in [-1, 1].

        Args:
            img (Tensor): (N, channels, S, S).
            noise (Tensor, optional): For a draw from the posterior, see :class:`ImageAutoencoder`.
        """
        size = self.autoencoder_batch_size
        noises = [None] * len(img) if noise is None else noise.split(size)
        # Without a noise zip ends with the images.
        parts = [self.autoencoder.encode(i, n) for i, n in zip(img.split(size), noises)]  # noqa: B905
        return torch.cat(parts)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, channels, S, S) in [-1, 1] of scaled latents (N, C, h, w)."""
        latents = latents / self.latent_scale
        parts = [self.autoencoder.decode(x) for x in latents.split(self.autoencoder_batch_size)]
        return torch.cat(parts).float().clamp(-1, 1)

    @torch.no_grad()
    def update_latent_scale(self, latents: Tensor) -> None:
        """Count in unscaled latents (N, C, h, w) of all ranks until there are enough."""
        per_image = latents[0].numel()
        if self._scale_is_fixed:
            return
        if self.latent_moments[0] >= self.scale_images * per_image:
            self._scale_is_fixed = True  # reading the buffer waits for the GPU
            return
        values = latents.double()
        moments = torch.stack(
            [values.new_tensor(values.numel()), values.sum(), values.square().sum()]
        )
        all_reduce(moments, op='sum')
        self.latent_moments += moments
        count, total, squares = self.latent_moments
        variance = (squares - total.square() / count) / (count - 1)
        self.latent_scale.copy_(variance.clamp(min=1e-12).rsqrt())
        if count >= self.scale_images * per_image:
            print_log(
                f'Latents are scaled by {self.latent_scale.item():.5g}, 1 / standard deviation of '
                f'the first {int(count) // per_image} training images',
                'current',
            )

    # Training -----------------------------------------------------------------------------------

    def diffusion_loss(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of the prediction at random timesteps (Ho et al. 2020, Eq. 14).

        A scalar. The latents (N, C, h, w) are scaled; labels are (N,) int.
        """
        count, draws = len(latents), self.step_random
        total = self.training_scheduler.config.num_train_timesteps
        timesteps = (draws.uniform('timestep', count, 1)[:, 0] * total).long().clamp_(max=total - 1)
        noise = draws.normal('diffusion_noise', count, self.noise_size).view_as(latents)
        dropped = draws.uniform('label_dropout', count, 1)[:, 0] < self.label_dropout
        labels = labels.masked_fill(dropped, self.num_classes)
        noisy = self.training_scheduler.add_noise(latents, noise, timesteps)
        prediction = self.generator(noisy, timesteps, labels)
        target = {
            'epsilon': lambda: noise,
            'sample': lambda: latents,
            'v_prediction': lambda: self.training_scheduler.get_velocity(latents, noise, timesteps),
        }[self.schedule['prediction_type']]()
        return F.mse_loss(prediction.float(), target)

    def train_step(
        self, data: dict, optim_wrapper: Union[OptimWrapper, OptimWrapperDict]
    ) -> Dict[str, Tensor]:
        """One iteration of the U-Net, and its moving average.

        Args:
            data (dict): A batch as the loader gives it (see :class:`CellDataPreprocessor`).
            optim_wrapper (OptimWrapperDict): With the key ``generator``.

        Returns:
            dict[str, Tensor]: ``loss_diffusion`` and ``loss``, the same number.
        """
        iteration = self.begin_step()
        self.prepare_training()
        data = self.data_preprocessor(data, True)
        img = data['inputs']['img']
        labels = self.data_sample_to_label(data['data_samples'])
        if labels is None:
            raise ValueError('the batch has no gt_label: every image needs a label')
        if isinstance(optim_wrapper, OptimWrapperDict):
            optim_wrapper = optim_wrapper['generator']
        size = self.autoencoder.noise_size
        noise = self.step_random.normal('posterior', len(img), size) if size else None
        with optim_wrapper.optim_context(self.generator):
            latents = self.encode(img, noise)
            self.update_latent_scale(latents)
            loss = self.diffusion_loss(latents * self.latent_scale, labels)
            loss, log = self.parse_losses(dict(loss_diffusion=loss))
            optim_wrapper.update_params(loss)
        if self.with_ema_gen and optim_wrapper.should_update():
            self._update_average(iteration)
        return log

    def _update_average(self, iteration: int) -> None:
        network = unwrap(self.generator)
        if iteration + 1 < self.ema_start:
            self.generator_ema.sync_parameters(network)
        else:
            self.generator_ema.update_parameters(network)

    # Sampling -----------------------------------------------------------------------------------

    def _sampling_options(self, given: Mapping[str, Any]) -> Dict[str, Any]:
        check_known('sampling', given, _SAMPLING)
        options = {**getattr(self, 'sampling', _SAMPLING), **given}
        # Built to hear of a mistake before the first image.
        sampling_scheduler(options['sampler'], self.schedule, options['num_inference_steps'])
        return options

    @torch.no_grad()
    def generate(self, sample_model: str, noise: Tensor, labels: Tensor, **sample_kwargs) -> Tensor:
        """Images (N, channels, S, S) in [-1, 1].

        Args:
            sample_model (str): 'ema' or 'orig'.
            noise (Tensor): z (N, noise_size), standard normal.
            labels (Tensor): (N,) int, or weights (N, num_classes) that mix classes.
            **sample_kwargs: ``sampler``, ``num_inference_steps``, ``guidance_scale``; what is not
                said is as in the config.

        Raises:
            ValueError: Another option, or a value that cannot be.
        """
        options = self._sampling_options(sample_kwargs)
        scheduler = sampling_scheduler(
            options['sampler'], self.schedule, options['num_inference_steps']
        )
        network = self._generator_of(sample_model)
        predict = guided(network, labels, self.num_classes, options['guidance_scale'])
        start = noise.reshape(len(noise), *self.autoencoder.latent_shape)
        return self.decode(solve(predict, start, scheduler))


def _check_fit(autoencoder: ImageAutoencoder, generator: LatentUNet, num_classes: int) -> None:
    if generator.num_classes != num_classes:
        raise ValueError(
            f'model.num_classes={num_classes} but generator.num_classes={generator.num_classes}: '
            'they must be equal'
        )
    if generator.latent_shape != autoencoder.latent_shape:
        channels, size, _ = autoencoder.latent_shape
        raise ValueError(
            f'the latents of model.autoencoder have the shape {autoencoder.latent_shape} '
            f'(channels, height, width: images of {autoencoder.image_size} pixels scaled down by '
            f'{autoencoder.factor}) but model.generator is for {generator.latent_shape}: set '
            f'generator.in_channels={channels} and generator.sample_size={size}'
        )
