"""A classifier with Monte-Carlo dropout: class probabilities and the maps of every stage."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from cellgan_plugin.evaluation.classifiers import ClassifierFeatures
from cellgan_plugin.evaluation.extractors import ExtractorError, Weights, to_rgb_batch
from cellgan_plugin.evaluation.inputs import resized
from cellgan_plugin.models.mc_dropout import (
    SplitBackbone,
    check_probability,
    draw_masks,
    trained_dropout,
)


class Trunk(NamedTuple):
    """What is the same in every pass over a batch.

    Attributes:
        maps (list[Tensor]): After all stages but the last, (N, C_l, H_l, W_l).
        last_input (Tensor): Input (N, C, h, w) of the last block, where elements are dropped.
    """

    maps: List[Tensor]
    last_input: Tensor


@MODELS.register_module()
class McDropoutClassifier(ClassifierFeatures):
    """An MMPretrain classifier run several times with dropout before its last block.

    HistoGAN (Sec. 3.2, 4.2.2) takes the baseline ResNet-34. The dropout sits near the end, so all
    before it is computed once (:meth:`trunk`) and only the last block is repeated (:meth:`top`).
    The classifier need not have been trained with dropout; Sec. 1 says "pre-trained with
    MC-dropout", for which configs wrap their backbone in ``MCDropoutBackbone``.

    As a feature extractor it is the plain network, without dropout.

    Args:
        config (str | Path | Config): The classifier's config (``configs/classifiers/``).
        checkpoint (str | Path): Its weights, the head included: a file or a work directory.
        dropout (float, optional): Probability that an element is dropped. Defaults to None: as
            the backbone was trained, else 0.5 (Sec. 4.2.2).
        **kwargs: Of :class:`~cellgan_plugin.evaluation.ClassifierFeatures`.

    Attributes:
        num_classes (int): Of the head.
        num_stages (int): Maps that a batch gives, after stages or blocks (:meth:`set_blocks`).
        map_names (list[str]): Of these maps.

    Raises:
        FileNotFoundError: No such config or checkpoint.
        ExtractorError: The checkpoint does not fit the config, or lacks the head.
        BackboneError: The backbone is neither a ResNet nor a DenseNet.
    """

    dropout: float = 0.5

    def __init__(
        self,
        config: Union[str, Path, Config],
        checkpoint: Weights,
        dropout: Optional[float] = None,
        **kwargs,
    ):
        super().__init__(config, checkpoint, **kwargs)
        self._split = SplitBackbone(self.network.backbone)
        if dropout is None:
            dropout = trained_dropout(self.network.backbone)
        self.dropout = check_probability(0.5 if dropout is None else dropout)
        probe = torch.zeros((1, 3, 64, 64), dtype=torch.uint8)
        self.num_classes = self.top(self.trunk(probe))[0].shape[1]
        self.finish(64)  # the fingerprint holds the dropout

    @property
    def num_stages(self) -> int:
        """See the class."""
        return self._split.num_stages

    @property
    def map_names(self) -> List[str]:
        """See the class."""
        return self._split.map_names

    def set_blocks(self, blocks: bool) -> None:
        """Whether maps are those after every residual block, or (as built) every stage."""
        self._split.set_blocks(blocks)

    @staticmethod
    def _build(model: dict, path: Path, where: str, state: dict) -> nn.Module:
        network = ClassifierFeatures._build(model, path, where, state)
        if not network.with_head:
            raise ExtractorError(f'{where} has no head: selection needs class probabilities')
        state = state.get('state_dict', state)
        missing = [
            key
            for key, value in network.state_dict().items()
            if not key.startswith('data_preprocessor.')
            and (key not in state or state[key].shape != value.shape)
        ]
        if missing:
            raise ExtractorError(
                f'{path} does not fit {where}: {missing[0]} is missing or of another shape. '
                'Selection needs the trained head too; give the checkpoint of the whole classifier'
            )
        return network

    def describe(self) -> Dict[str, Any]:
        """See the base."""
        return dict(
            super().describe(), kind='MMPretrain classifier, MC dropout', dropout=self.dropout
        )

    @torch.no_grad()
    def trunk(self, images: Tensor) -> Trunk:
        """The part that dropout does not change.

        Args:
            images (Tensor): uint8 (N, 3, H, W) RGB or (N, 1, H, W) grey, on any device.
        """
        images = resized(to_rgb_batch(images).to(self.device), self.input_size)
        if self.channel_order == 'BGR':
            images = images.flip(1)
        with torch.autocast(images.device.type, enabled=False):
            return Trunk(*self._split.trunk((images - self.mean) / self.std))

    @torch.no_grad()
    def top(self, trunk: Trunk, mask: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """The part that is repeated.

        Args:
            trunk (Trunk): Of a batch.
            mask (Tensor, optional): bool like ``trunk.last_input``, False where an element is
                dropped; the others are scaled by 1 / (1 - p). Defaults to None: no dropout.

        Returns:
            tuple: Class probabilities (N, num_classes) and the map (N, C, H, W) after the last
            stage.
        """
        x = trunk.last_input
        with torch.autocast(x.device.type, enabled=False):
            if mask is not None:
                x = x * mask.to(x.device) / (1 - self.dropout)
            last = self._split.top(x)
            features = (last,) if self.network.neck is None else self.network.neck((last,))
            return self.network.head(features).float().softmax(dim=1), last

    def masks(
        self, trunk: Trunk, seed: int, pass_name: Union[int, str], keys: Sequence[str]
    ) -> Optional[Tensor]:
        """Masks of one pass for :meth:`top`, from (seed, pass, key of the image); None at p=0."""
        if not self.dropout:
            return None
        shape = trunk.last_input.shape[1:]
        return draw_masks(shape, self.dropout, seed, pass_name, keys).to(self.device)
