"""A pyramid of networks, one of each kind per scale: generation and segmentation (Eq. 1 and 5)."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import torch
from mmagic.registry import MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn

from cellgan_plugin.models.layers import evaluating
from cellgan_plugin.models.losses.pyramid_losses import one_hot_masks
from cellgan_plugin.models.model_checks import check_classes
from cellgan_plugin.models.pyramid_gan.mean_colours import MeanColours
from cellgan_plugin.models.pyramid_gan.scale_noise import DrawsScaleNoise
from cellgan_plugin.models.pyramid_gan.scales import (
    Scale,
    parse_scales,
    resize_images,
    resize_masks,
    side_at,
)
from cellgan_plugin.models.pyramid_gan.whole_images import SegmentsWholeImages

NetworkConfig = Optional[Mapping[str, Any]]


class Pyramid(DrawsScaleNoise, SegmentsWholeImages, BaseModel):
    """Generators, discriminators and segmenters of all scales, and which scale is in training.

    Scales are numbered from the coarsest, 0, to the finest; the paper counts N ... 0 the same way.
    Networks of finished scales are in evaluation mode and without gradients, whatever
    :meth:`train` is told; networks of scales to come are not used.

    Args:
        num_classes (int): Classes of the masks.
        scales (Sequence[dict]): The schedule, coarsest first; see :class:`Scale`.
        generator (dict, optional): Config of the generator, the same at every scale;
            ``num_classes`` is filled in. Defaults to None: nothing is generated.
        discriminator (dict, optional): Likewise. Defaults to None.
        segmenter (dict, optional): Likewise; ``in_channels`` (RGB and the coarser prediction) and
            ``out_channels`` are filled in. Defaults to None: nothing is segmented.
        tile_size (int, optional): Side, px, of the data's tiles: what the finest scale would show
            if it had the data's resolution. Defaults to None: the size of the finest scale.
        min_overlap (int, optional): Of tiles in whole images, px. Defaults to None: a quarter.
        noise_std (Sequence[float]): Of the generators' noise, by scale from the coarsest; the last
            one is that of all further scales. Defaults to (1.0, 0.1) (SinGAN).
        stain_share (float): Share of the variance of the coarsest scale's noise that all pixels of
            an image have in common, one number per channel: its stain. In training it is the mean
            colour of the real image of the mask, see :class:`MeanColours`, when sampling a draw.
            Needs a generator with ``norm='none'``: instance norm takes out what all pixels share.
            Defaults to 0.0: white noise, as SinGAN.
        segmenter_noise (float): Standard deviation of the noise on the segmenter's image in
            training (z_n of Eq. 5). Defaults to 0.0.
        init_from_coarser (bool): Start the networks of a scale from those of the coarser one
            (SinGAN). The generator's last layer starts at zero, so that its first image is the
            up-sampled coarser one. Defaults to True.
        data_preprocessor (dict): Defaults to ``dict(type='TissueDataPreprocessor')``.

    Attributes:
        scale (int): The scale in training, or trained last.
        scale_epoch (float): Epochs that this scale has been trained; the loop says it.

    Raises:
        ValueError: The schedule cannot be.
    """

    def __init__(
        self,
        num_classes: int,
        scales: Sequence[Mapping[str, Any]],
        generator: NetworkConfig = None,
        discriminator: NetworkConfig = None,
        segmenter: NetworkConfig = None,
        tile_size: Optional[int] = None,
        min_overlap: Optional[int] = None,
        noise_std: Sequence[float] = (1.0, 0.1),
        stain_share: float = 0.0,
        segmenter_noise: float = 0.0,
        init_from_coarser: bool = True,
        data_preprocessor: Optional[dict] = None,
    ):
        super().__init__(data_preprocessor or dict(type='mmagic.TissueDataPreprocessor'))
        self.num_classes = num_classes
        self.scales: List[Scale] = parse_scales(scales)
        self.tile_size = tile_size or self.scales[-1].size
        self.min_overlap = self.tile_size // 4 if min_overlap is None else min_overlap
        self.noise_std = tuple(noise_std)
        if not 0 <= stain_share <= 1:
            raise ValueError(f'stain_share={stain_share!r}: must be between 0 and 1')
        if stain_share and (generator or {}).get('norm', 'IN') == 'IN':
            raise ValueError(
                f'stain_share={stain_share} has no effect with instance norm: set generator.norm='
                "'none'"
            )
        self.stain_share = stain_share
        self.colours = MeanColours() if stain_share else None
        self.segmenter_noise = segmenter_noise
        self.init_from_coarser = init_from_coarser
        self.scale_epoch = 0.0
        of_classes = dict(num_classes=num_classes)
        self.generators = self._build(generator, of_classes)
        self.discriminators = self._build(discriminator, of_classes)
        self.segmenters = self._build(
            segmenter, dict(in_channels=3 + num_classes, out_channels=num_classes)
        )
        # In the checkpoint: whoever loads it knows which scales are trained.
        self.register_buffer('scale_index', torch.zeros((), dtype=torch.long))
        # The finest scale that was ever trained: a new run from finished weights keeps them.
        self.register_buffer('finest_trained', torch.zeros((), dtype=torch.long))
        self.to(memory_format=torch.channels_last)  # faster convolutions; no number changes
        self.enter_scale(0)

    def _build(self, config: NetworkConfig, filled: Dict[str, int]) -> Optional[nn.ModuleList]:
        if config is None:
            return None
        return nn.ModuleList(MODELS.build({**filled, **config}) for _ in self.scales)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def size(self) -> int:
        """Side of the training tiles at the current scale, px."""
        return self.scales[self.scale].size

    # Which scale is trained ---------------------------------------------------------------------

    def _kinds(self) -> Dict[str, nn.ModuleList]:
        kinds = dict(
            generator=self.generators,
            discriminator=self.discriminators,
            segmenter=self.segmenters,
        )
        return {name: networks for name, networks in kinds.items() if networks is not None}

    def trained_networks(self) -> Dict[str, nn.Module]:
        """The networks of the current scale by the names of their optimizers."""
        return {name: networks[self.scale] for name, networks in self._kinds().items()}

    def enter_scale(self, index: int) -> None:
        """Make a scale the current one: train its networks and no others.

        Args:
            index (int): From 0, the coarsest.
        """
        if not 0 <= index < len(self.scales):
            raise ValueError(f'scale {index}: there are {len(self.scales)}, counted from 0')
        self.scale = index
        self.scale_index.fill_(index)
        self.finest_trained.clamp_(min=index)
        for networks in self._kinds().values():
            for number, network in enumerate(networks):
                network.requires_grad_(number == index)
                for parameter in network.parameters() if number != index else ():
                    parameter.grad = None
                if hasattr(network, 'checkpoint'):
                    network.checkpoint = self.scales[number].checkpoint
        self.train(self.training)

    def begin_scale(self, index: int) -> None:
        """Enter the next scale: networks that were never trained get their first weights.

        Those of a scale that was trained before, by the run whose weights were loaded, keep them.
        """
        if index > int(self.finest_trained):
            self._first_weights(index)
        self.enter_scale(index)

    def _first_weights(self, index: int) -> None:
        if self.init_from_coarser:
            for networks in self._kinds().values():
                networks[index].load_state_dict(networks[index - 1].state_dict())
        if self.generators is not None:
            if hasattr(self.generators[index], 'begin_as_identity'):
                self.generators[index].begin_as_identity()

    def train(self, mode: bool = True) -> 'Pyramid':
        """Set the mode of the current scale; the others stay in evaluation mode."""
        super().train(mode)
        for networks in self._kinds().values():
            for number, network in enumerate(networks):
                network.train(mode and number == self.scale)
        return self

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        key = f'{prefix}finest_trained'
        if key not in state_dict and f'{prefix}scale_index' in state_dict:
            # Checkpoints of before: what is finer than their scale was not trained.
            state_dict = {**state_dict, key: state_dict[f'{prefix}scale_index']}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self.enter_scale(int(self.scale_index))

    # Generation ---------------------------------------------------------------------------------

    def generate_scale(
        self, index: int, masks: Tensor, noise: Tensor, coarser: Optional[Tensor]
    ) -> Tensor:
        """One generator, Eq. (1): images (N, 3, H, W) of class ids (N, H, W) and noise.

        Masks and noise (N, 3, H, W) are at this scale; ``coarser`` are images of the scale below,
        at their own size.
        """
        if coarser is not None:
            coarser = resize_images(coarser, *masks.shape[-2:])
        return self.generators[index](one_hot_masks(masks, self.num_classes), noise, coarser)

    @torch.no_grad()
    def generate(
        self,
        masks: Tensor,
        seeds: Union[int, Sequence[int]] = 0,
        return_scales: bool = False,
    ) -> Union[Tensor, List[Tensor]]:
        """Images of masks, through all trained scales.

        An image depends on its mask and its seed alone, not on the batch. Networks are run in
        evaluation mode.

        Args:
            masks (Tensor): Class ids (N, H, W), any integer type, on any device, at the resolution
                of the current scale; 255 is no class. Sides are whole at every scale and
                multiples of the generators' stride; :meth:`fit_masks` makes such.
            seeds (int | Sequence[int]): One per image; of one number k: k, k + 1, ...
            return_scales (bool): Images of every scale, coarsest first. Defaults to False.

        Returns:
            Tensor | list[Tensor]: RGB (N, 3, H, W) in [-1, 1].

        Raises:
            ValueError: The model has no generators, or a side does not fit.
        """
        if self.generators is None:
            raise ValueError('this model has no generator: it only segments')
        self.check_mask_size(*masks.shape[-2:])
        seeds = list(range(seeds, seeds + len(masks))) if isinstance(seeds, int) else list(seeds)
        if len(seeds) != len(masks):
            raise ValueError(f'{len(masks)} masks but {len(seeds)} seeds')
        masks = masks.to(self.device)
        images: List[Tensor] = []
        with evaluating(self):
            for index in range(self.scale + 1):
                sides = [
                    side_at(side, self.scales[index].size, self.size) for side in masks.shape[-2:]
                ]
                noise = self.draw_noise(seeds, index, *sides)
                coarser = images[-1] if images else None
                images.append(
                    self.generate_scale(index, resize_masks(masks, *sides), noise, coarser)
                )
        images = [image.float().clamp(-1, 1) for image in images]
        return images if return_scales else images[-1]

    def check_mask_size(self, height: int, width: int) -> None:
        """ValueError, which names what would fit, when masks of this size cannot be generated."""
        unit = self.mask_unit()
        if height % unit or width % unit:
            raise ValueError(
                f'masks of {width}x{height} px: the sides must be multiples of {unit} at the scale '
                f'of {self.size} px; resize or cut them (fit_masks makes {self.size}x{self.size} '
                'of a whole tile)'
            )

    def mask_unit(self) -> int:
        """Sides of masks are multiples of this at the current scale, px."""
        unit = 1
        for index in range(self.scale + 1):
            stride, ratio = self.generators[index].stride, self.size / self.scales[index].size
            unit = max(unit, round(stride * ratio))
        return unit

    def fit_masks(self, masks: Tensor) -> Tensor:
        """Masks (N, H, W) of the data's resolution at that of the current scale."""
        sides = [side_at(side, self.size, self.tile_size) for side in masks.shape[-2:]]
        return resize_masks(masks, *sides)

    # Segmentation -------------------------------------------------------------------------------

    def segment_scale(self, index: int, img: Tensor, coarser: Optional[Tensor]) -> Tensor:
        """One segmenter, Eq. (5): logits (N, num_classes, H, W) of images (N, 3, H, W).

        Images are at this scale; ``coarser`` are probabilities of the scale below, at their own
        size.
        """
        height, width = img.shape[-2:]
        if coarser is None:
            coarser = img.new_zeros(len(img), self.num_classes, height, width)
        coarser = resize_images(coarser, height, width)
        return self.segmenter_of(index)(torch.cat([img, coarser], dim=1))

    def segmenter_of(self, index: int) -> nn.Module:
        """The network that segments at a scale."""
        return self.segmenters[index]

    @torch.no_grad()
    def coarser_probabilities(self, img: Tensor, index: int) -> Optional[Tensor]:
        """What the finished segmenters below a scale say about images (N, 3, H, W) at that scale.

        Probabilities of scale ``index - 1`` at its size; None for the coarsest.
        """
        probabilities = None
        for below in range(index):
            sides = [
                side_at(side, self.scales[below].size, self.scales[index].size)
                for side in img.shape[-2:]
            ]
            logits = self.segment_scale(below, resize_images(img, *sides), probabilities)
            probabilities = logits.float().softmax(dim=1)
        return probabilities

    @torch.no_grad()
    def segment(self, images: Tensor) -> Tensor:
        """Segment with all trained scales, in evaluation mode and without noise.

        Args:
            images (Tensor): RGB (N, 3, H, W) in [-1, 1] at the data's resolution (``tile_size``
                px are one training tile).

        Returns:
            Tensor: Logits (N, num_classes, H, W), float32.

        Raises:
            ValueError: The model has no segmenters.
        """
        if self.segmenters is None:
            raise ValueError('this model has no segmenter: it only generates')
        height, width = images.shape[-2:]
        with evaluating(self):
            img = resize_images(
                images.to(self.device),
                *(side_at(side, self.size, self.tile_size) for side in (height, width)),
            )
            coarser = self.coarser_probabilities(img, self.scale)
            logits = self.segment_scale(self.scale, img, coarser)
        return resize_images(logits.float(), height, width)

    # The data -----------------------------------------------------------------------------------

    def check_dataset(self, dataset) -> None:
        """Compare a training set with the model, before the first step.

        Raises:
            ValueError: Classes or sizes differ; the message names both sides.
        """
        check_classes(self, dataset)
        inputs = dataset[0]['inputs']
        shape = tuple(inputs['img'].shape)
        if 'mask' not in inputs:
            raise ValueError('the training set gives no masks: use TissueMaskDataset')
        if shape != (3, self.tile_size, self.tile_size):
            raise ValueError(
                f'the training set gives images of shape {shape} (channels, height, width) but '
                f'model.tile_size={self.tile_size} (by default the size of the finest scale): set '
                "tile_size of the data set, or model.tile_size to the data's"
            )
