"""Which generated images are copies of training images, in any view that the training showed.

A copy is found in the space of the features, or by what it shows: a perceptual hash knows images
again that were saved as JPEG, resized, made brighter or shifted a little, which features of small
networks may set apart.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from cellgan_plugin.datasets.perceptual_hash import near_limit, nearest_by_hash
from cellgan_plugin.evaluation.features import FeatureSet
from cellgan_plugin.evaluation.neighbours import TrainingNeighbours, nearest_training_neighbours


@dataclass(frozen=True)
class CopySearch:
    """What generated images are compared with.

    Attributes:
        training (FeatureSet): Of the generator's training images, every view a row
            (:func:`~cellgan_plugin.evaluation.statistics_cache.real_features`).
        views (tuple[str]): Of each image, the image itself first.
        held_out (FeatureSet | None): Real images that were not trained on, which calibrate the
            threshold. None: the training images do, each against the others.
        quantile (float): False alarms that are asked for, in (0, 1).
    """

    training: FeatureSet
    views: Tuple[str, ...]
    held_out: Optional[FeatureSet] = None
    quantile: float = 0.01

    @property
    def images(self) -> FeatureSet:
        """Features of the training images as they are."""
        step = len(self.views)
        shown = self.training.shown
        return replace(
            self.training,
            features=self.training.features[::step],
            labels=self.training.labels[::step],
            shown=None if shown is None else shown[::step],
        )

    @cached_property
    def bits(self) -> Optional[int]:
        """Bits of the perceptual hash up to which an image is a near copy; None without hashes."""
        shown = self.images.shown
        return None if shown is None or not len(shown) else near_limit(np.unique(shown, axis=0))

    @cached_property
    def near_held_out(self) -> float:
        """Share of the held-out images that are near copies of training images."""
        if self.held_out is None or not len(self.held_out):
            return 0.0
        return float(self._near(self.held_out)[0].mean())

    def _near(self, other: FeatureSet) -> Tuple[np.ndarray, np.ndarray]:
        """Whether each image is a near copy, and of which training image."""
        if self.bits is None or other.shown is None:
            return np.zeros(len(other), bool), np.zeros(len(other), np.int64)
        index, bits = nearest_by_hash(other.shown, self.images.shown, self.views)
        return bits <= self.bits, index

    def find(self, fake: FeatureSet) -> TrainingNeighbours:
        """See :func:`nearest_training_neighbours`, with its errors; near copies count, too."""
        found = nearest_training_neighbours(
            fake.features,
            self.training.features,
            None if self.held_out is None else self.held_out.features,
            quantile=self.quantile,
            views=len(self.views),
        )
        near, index = self._near(fake)
        memorised = found.memorised | near
        return replace(
            found,
            indices=np.where(near & ~found.memorised, index, found.indices),
            memorised=memorised,
            score=float(memorised.mean()),
        )

    def remarks(self, found: TrainingNeighbours) -> List[str]:
        """What a reader of ``memorised`` has to know."""
        remarks = []
        what = 'training images' if self.held_out is None else 'held-out images'
        if found.false_alarms > 1.5 * self.quantile:
            remarks.append(
                f'memorised: {found.reference} {what} calibrate it, so that up to '
                f'{found.false_alarms:.1%} of new real images would count as copies '
                f'({self.quantile:.0%} takes {round(1 / self.quantile) - 1})'
            )
        if self.near_held_out:
            remarks.append(
                f'memorised: {self.near_held_out:.1%} of the held-out images are near copies of '
                'training images by the perceptual hash, so that about as many images count that '
                'are none, or the two share pictures'
            )
        if found.threshold == 0 and self.held_out is not None:
            remarks.append(
                'memorised: held-out images are equal to training images, so that exact copies '
                'alone are found. Hold out images that were not trained on'
            )
        return remarks

    def describe(self, found: TrainingNeighbours) -> Dict[str, Any]:
        """For the protocol, as plain JSON values."""
        return dict(
            views=list(self.views),
            threshold=found.threshold,
            false_alarms=found.false_alarms,
            calibrated_on='training images, each against the others'
            if self.held_out is None
            else 'held-out images',
            calibration_images=found.reference,
            near_copies=dict(bits=self.bits, of_held_out=self.near_held_out),
        )
