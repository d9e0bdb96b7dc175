"""Class centroids in the feature space (HistoGAN, Eq. (7)) and the distance to them (Eq. (6))."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor

_EPS = 1e-10  # a position where no channel is active stays zero


def unit_normalised(maps: Tensor) -> Tensor:
    """Activations (N, C, H, W) with unit norm over channels at every position."""
    norm = torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    return maps / norm.clamp_min(_EPS)


@dataclass
class Centroids:
    """The average map of every class after every stage.

    Attributes:
        maps (list[Tensor]): Per stage, float32 (classes, C_l, H_l, W_l): averages of activations
            as they are (Eq. (7) has no hat), not yet normalised.
        counts (Tensor): int64 (classes,): images each average is of.
        plain (Tensor, optional): As the last of ``maps``, without dropout. Defaults to None: that
            one, of maps without dropout.
    """

    maps: List[Tensor]
    counts: Tensor
    plain: Optional[Tensor] = None

    def __post_init__(self) -> None:
        self.plain = self.maps[-1] if self.plain is None else self.plain
        # Eq. (6) normalises the centroid too: phi-hat of c_i.
        self._unit = [unit_normalised(stage) for stage in [*self.maps, self.plain]]
        self._energy = [unit.flatten(1).square().sum(1) for unit in self._unit]

    def to(self, device: torch.device) -> 'Centroids':
        """On another device."""
        maps = [stage.to(device) for stage in self.maps]
        return Centroids(maps, self.counts.to(device), self.plain.to(device))

    def distances(self, stage: int, maps: Tensor) -> Tensor:
        """One stage's term of Eq. (6) to every class, for one pass.

        Args:
            stage (int): Which stage; the number of stages: the last one without dropout.
            maps (Tensor): Activations (N, C_l, H_l, W_l) of images.

        Returns:
            Tensor: float32 (N, classes), in [0, 4]: squared distance of channel-unit-normalised
            activations, averaged over positions (2 - 2 cos). NaN for a class without images.

        Raises:
            ValueError: Maps of another size than the centroids.
        """
        expected = self._unit[stage].shape[1:]
        if maps.shape[1:] != expected:
            raise ValueError(
                f'stage {stage + 1} gives maps of {tuple(maps.shape[1:])}, the centroids are '
                f'{tuple(expected)}: real and candidate images must have one '
                'size; say --input-size'
            )
        unit = unit_normalised(maps.float()).flatten(1)
        inner = unit @ self._unit[stage].flatten(1).T
        squared = unit.square().sum(1)[:, None] + self._energy[stage] - 2 * inner
        found = squared.clamp_min(0) / (maps.shape[2] * maps.shape[3])
        return found.masked_fill(self.counts == 0, torch.nan)


class CentroidSums:
    """Eq. (7) in one streaming pass: sums per class, whatever the number of images.

    Args:
        num_classes (int): Classes, with or without images.
    """

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.counts = torch.zeros(num_classes, dtype=torch.long)
        self._sums: Optional[List[Tensor]] = None

    def add(self, maps: Sequence[Tensor], labels: Tensor, plain: Optional[Tensor] = None) -> None:
        """Add a batch.

        Args:
            maps (Sequence[Tensor]): One (N, C_l, H_l, W_l) per stage.
            labels (Tensor): int64 (N,).
            plain (Tensor, optional): As the last of ``maps``, without dropout. Defaults to None:
                that one.
        """
        maps = [*maps, maps[-1] if plain is None else plain]
        if self._sums is None:
            # Double precision: the sum of 100,000 images is as good as that of ten.
            self._sums = [
                stage.new_zeros((self.num_classes, *stage.shape[1:]), dtype=torch.float64)
                for stage in maps
            ]
        for total, stage in zip(self._sums, maps, strict=True):
            total.index_add_(0, labels.to(stage.device), stage.double())
        self.counts += torch.bincount(labels.cpu(), minlength=self.num_classes)

    def centroids(self) -> Centroids:
        """The averages so far.

        Raises:
            ValueError: No image was added.
        """
        if self._sums is None:
            raise ValueError('centroids need at least one image')
        maps = []
        for total in self._sums:
            counts = self.counts.to(total.device).clamp_min(1).view(-1, 1, 1, 1)
            maps.append((total / counts).float())
        return Centroids(maps[:-1], self.counts.to(maps[0].device), maps[-1])


def own_and_nearest(distances: Tensor, labels: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Distance to the label's centroid, index of the nearest centroid, distance to that.

    Args:
        distances (Tensor): (N, classes), NaN for classes without a centroid.
        labels (Tensor): int64 (N,).
    """
    own = distances.gather(1, labels.to(distances.device)[:, None])[:, 0]
    nearest = distances.nan_to_num(torch.inf, torch.inf, torch.inf).min(dim=1)
    return own, nearest.indices, nearest.values
