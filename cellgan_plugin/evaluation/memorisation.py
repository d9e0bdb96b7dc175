"""Which generated images are copies of training images, in any view that the training showed."""

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Tuple

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
        return replace(
            self.training,
            features=self.training.features[::step],
            labels=self.training.labels[::step],
        )

    def find(self, fake: FeatureSet) -> TrainingNeighbours:
        """See :func:`nearest_training_neighbours`, with its errors."""
        return nearest_training_neighbours(
            fake.features,
            self.training.features,
            None if self.held_out is None else self.held_out.features,
            quantile=self.quantile,
            views=len(self.views),
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
        )
