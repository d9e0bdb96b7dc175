"""What every class-conditional GAN of the plugin shares: sampling, labels, and repeatable steps."""

from copy import deepcopy
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmagic.models.base_models import BaseConditionalGAN
from mmagic.models.utils import get_valid_num_batches
from mmagic.structures import DataSample
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from cellgan_plugin.models.layers import are_class_weights
from cellgan_plugin.models.repeatable_step import RepeatableStep

FakeLabels = Union[str, Sequence[float]]


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside a distributed wrapper, or the module itself."""
    return module.module if is_model_wrapper(module) else module


class ConditionalGAN(RepeatableStep, BaseConditionalGAN):
    """Base of the plugin's class-conditional GANs; repairs what MMagic's base does silently.

    - Labels given in ``inputs`` and ``sample_kwargs`` are honoured for every ``sample_model``
      (MMagic reads only ``data_samples``, and drops ``sample_kwargs`` for 'ema' and 'orig').
    - The numbers of a training step come from (seed, purpose, iteration), see
      :class:`~cellgan_plugin.randomness.StepRandom`.

    Args:
        generator (dict | nn.Module): Config or model, MMagic's calling convention.
        discriminator (dict | nn.Module, optional): Config or model. Not needed to sample.
        fake_labels (str | Sequence[float]): Labels of the generated images in training.
            ``'data'``: those of the real images of the batch, so that every class is generated as
            often as it is met. ``'uniform'``: every class alike. A sequence: class weights.
            Defaults to ``'data'``.
        seed (int): Base seed of the training steps where no Runner has said one. Defaults to 0.
        **kwargs: Of MMagic's ``BaseConditionalGAN`` (``data_preprocessor``, ``generator_steps``,
            ``discriminator_steps``, ``noise_size``, ``num_classes``, ``ema_config``,
            ``loss_config``).

    Raises:
        ValueError: When neither the model's config nor those of its parts say ``num_classes``, or
            ``fake_labels`` does not fit.
    """

    def __init__(
        self,
        generator: Union[dict, nn.Module],
        discriminator: Optional[Union[dict, nn.Module]] = None,
        fake_labels: FakeLabels = 'data',
        seed: int = 0,
        **kwargs,
    ):
        kwargs.setdefault('data_preprocessor', dict(type='mmagic.CellDataPreprocessor'))
        if self._get_valid_num_classes(kwargs.get('num_classes'), generator, discriminator) is None:
            # MMagic would pass None on to the models in place of their defaults.
            raise ValueError('num_classes is missing: say it in the config of the model')
        super().__init__(generator, discriminator, **kwargs)
        self.fake_labels = self._check_fake_labels(fake_labels)
        self.seed = seed

    def _check_fake_labels(self, fake_labels: FakeLabels) -> Union[str, Tensor]:
        if fake_labels == 'data':
            return 'data'
        if fake_labels == 'uniform':
            return torch.ones(self.num_classes)
        if isinstance(fake_labels, str):
            raise ValueError(
                f"fake_labels={fake_labels!r}: must be 'data', 'uniform' or a list of class weights"
            )
        weights = torch.as_tensor(list(fake_labels), dtype=torch.float64)
        if weights.shape != (self.num_classes,) or (weights < 0).any() or not weights.sum() > 0:
            raise ValueError(
                f'fake_labels={list(fake_labels)}: needs {self.num_classes} weights, one per '
                'class, none negative and not all zero'
            )
        return weights

    def check_equal(self, *names: Tuple[str, str]) -> None:
        """ValueError for the first attribute of the generator that is another in the discriminator.

        Args:
            *names (tuple[str, str]): Of the generator's attribute, and of the discriminator's;
                one that either does not have is passed over.
        """
        for of_generator, of_discriminator in names:
            a = getattr(self.generator, of_generator, None)
            b = getattr(self.discriminator, of_discriminator, None)
            if a is not None and b is not None and a != b:
                raise ValueError(
                    f'generator.{of_generator}={a} but discriminator.{of_discriminator}={b}: '
                    'they must be equal'
                )

    def forward(
        self,
        inputs: Union[dict, Tensor],
        data_samples: Optional[DataSample] = None,
        mode: Optional[str] = None,
    ) -> Union[List[DataSample], Tensor]:
        """Sample images.

        Args:
            inputs (dict | Tensor): z (N, noise_size), or a dict with any of ``noise`` (Tensor or
                callable), ``num_batches`` (int), ``labels`` ((N,) int, a callable, or (N,
                num_classes) float weights), ``sample_model`` ('ema', 'orig', 'ema/orig') and
                ``sample_kwargs`` (passed to the generator, e.g. ``dict(truncation=0.7)``).
            data_samples (DataSample, optional): Its ``gt_label`` is used where ``inputs`` has no
                labels. Defaults to None.
            mode (str, optional): ``'tensor'`` returns the bare images in [-1, 1].

        Returns:
            list[DataSample] | Tensor: One data sample per image with ``fake_img`` (C, H, W) float
            in [0, 255], BGR as MMagic has it (under ``ema`` and ``orig`` for 'ema/orig'),
            ``noise``, ``gt_label``, ``sample_model``; or with ``mode='tensor'`` RGB images
            (N, C, H, W) in [-1, 1].
        """
        if isinstance(inputs, Tensor):
            inputs = dict(noise=inputs)
        noise, labels = self._noise_and_labels(inputs, data_samples)
        sample_kwargs = inputs.get('sample_kwargs') or {}
        sample_model = self._get_valid_model(inputs)
        images = {
            name: self.generate(name, noise, labels, **sample_kwargs)
            for name in sample_model.split('/')
        }
        if mode == 'tensor':
            if len(images) != 1:
                raise ValueError("mode='tensor' returns one set of images: sample 'ema' or 'orig'")
            return images[sample_model]

        sample = DataSample()
        if data_samples is not None and len(data_samples.all_keys()) > 0:
            sample.update(data_samples)
        if 'img' in inputs:
            sample.gt_img = inputs['img']
        for name, batch in images.items():
            fields = self._image_fields(batch, data_samples)
            if len(images) == 1:
                sample.set_data(fields)
            else:
                sample.set_field(DataSample(**fields), name)
        sample.noise = noise
        sample.set_gt_label(labels.argmax(dim=1) if labels.ndim == 2 else labels)
        sample.sample_kwargs = deepcopy(sample_kwargs)
        sample.sample_model = sample_model
        return sample.split(allow_nonseq_value=True)

    def generate(self, sample_model: str, noise: Tensor, labels: Tensor, **sample_kwargs) -> Tensor:
        """Images from noise and labels; models that are no single network override it.

        Args:
            sample_model (str): 'ema' or 'orig'.
            noise (Tensor): z (N, noise_size).
            labels (Tensor): (N,) int, or class weights (N, num_classes).
            **sample_kwargs: For the generator.

        Returns:
            Tensor: RGB images (N, C, H, W) in [-1, 1].
        """
        network = self._generator_of(sample_model)
        return network(noise, label=labels, return_noise=False, **sample_kwargs)

    def _image_fields(
        self, images: Tensor, data_samples: Optional[DataSample]
    ) -> Dict[str, Tensor]:
        """Fields of the data samples, in grey levels; models that make more images override it."""
        return dict(fake_img=self.data_preprocessor.destruct(images, data_samples))

    def _generator_of(self, sample_model: str) -> nn.Module:
        return self.generator_ema if sample_model == 'ema' else self.generator

    def _noise_and_labels(self, inputs: dict, data_samples: Optional[DataSample]) -> tuple:
        labels = inputs.get('labels')
        if labels is None:
            labels = self.data_sample_to_label(data_samples)
        if isinstance(labels, (list, tuple)):
            labels = torch.as_tensor(labels)
        noise = inputs.get('noise')
        if isinstance(noise, Tensor):
            count = len(noise)
        elif isinstance(labels, Tensor):
            count = len(labels)
        else:
            count = get_valid_num_batches(inputs, data_samples)
        if isinstance(inputs.get('num_batches'), int) and inputs['num_batches'] != count:
            raise ValueError(
                f'num_batches={inputs["num_batches"]} but {count} noise vectors or labels'
            )
        noise = self.noise_fn(noise, num_batches=count)
        if are_class_weights(labels):
            labels = labels.to(self.device)
        else:
            if isinstance(labels, Tensor):
                labels = labels.reshape(-1)
            labels = self.label_fn(labels, num_batches=count)
        if len(labels) != count:
            raise ValueError(f'{count} noise vectors but {len(labels)} labels')
        return noise, labels

    def data_sample_to_label(self, data_sample: Optional[DataSample]) -> Optional[Tensor]:
        """Labels (N,) of a stacked data sample, or None when it has none."""
        labels = super().data_sample_to_label(data_sample)
        return labels.reshape(-1) if isinstance(labels, Tensor) else labels

    def training_labels(self, real_labels: Tensor) -> Tensor:
        """Labels (N,) for a batch of generated images, by the ``fake_labels`` option."""
        if isinstance(self.fake_labels, str):
            return real_labels
        return self.step_random.labels('fake_labels', len(real_labels), self.fake_labels)

    def train_step(self, data: dict, optim_wrapper) -> Dict[str, Tensor]:
        """One iteration: discriminator, then generator and EMA (MMagic's order).

        Works without a Runner too: iterations are then counted from 0.

        Args:
            data (dict): A batch as the loader gives it (see :class:`CellDataPreprocessor`).
            optim_wrapper (OptimWrapperDict): With keys ``generator`` and ``discriminator``.

        Returns:
            dict[str, Tensor]: Losses and other scalars for the log.
        """
        self.begin_step()
        return super().train_step(data, optim_wrapper)
