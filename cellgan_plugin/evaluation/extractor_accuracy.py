"""How well the classifier behind some features tells the classes apart, beside its distances."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional

import numpy as np
import torch

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.content_hash import content_hashes, to_hex
from cellgan_plugin.evaluation.extractors import FeatureExtractor
from cellgan_plugin.evaluation.features import FeatureSet

# Below this the classifier still gets more than half of the images wrong that a guess gets wrong:
# most neighbours of an image in its features are then of any class.
LEAST_SKILL = 0.5
_LOOKED_AT = 200  # real images that are compared with those that trained the classifier


@dataclass(frozen=True)
class ExtractorAccuracy:
    """Accuracy of the classifier whose features are compared.

    Attributes:
        accuracy (float | None): Mean recall over the classes, or the accuracy that its checkpoint
            has of its validation images, 0 to 1. None: no image is known to be held out.
        classes (int): That it tells apart; a guess is right once in so many times.
        images (str): What it was measured on.
    """

    accuracy: Optional[float]
    classes: int
    images: str

    @property
    def skill(self) -> Optional[float]:
        """0 for guessing, 1 for perfect."""
        if self.accuracy is None:
            return None
        chance = 1 / self.classes
        return (self.accuracy - chance) / (1 - chance)

    def __str__(self) -> str:
        known = 'not known,' if self.accuracy is None else f'{self.accuracy:.0%}'
        return f'held-out accuracy of the classifier behind the features: {known} {self.images}'

    def remarks(self) -> List[str]:
        """A warning where the features are of a classifier that hardly knows the classes."""
        if self.skill is None or self.skill >= LEAST_SKILL:
            return []
        return [
            f'{self}: less than half of the way from guessing ({1 / self.classes:.0%}) to '
            'perfect, so that distances, precision, recall, coverage and memorised say little of '
            'what sets the classes apart. Train the classifier longer, or on more images'
        ]

    def as_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dict(asdict(self), skill=self.skill)


def extractor_accuracy(
    extractor: FeatureExtractor, real: FeatureSet, dataset: Any
) -> Optional[ExtractorAccuracy]:
    """The held-out accuracy of a classifier whose features are compared.

    It is measured on the real images, whose features are at hand, unless the classifier was trained
    on some of those: 200 of them are looked up in the list that its checkpoint carries. Then
    it is the last validation accuracy that the checkpoint has.

    Args:
        extractor (FeatureExtractor): The network.
        real (FeatureSet): Its features of the real images.
        dataset: The real images, as of :func:`~cellgan_plugin.evaluation.statistics_cache.
            real_features`.

    Returns:
        ExtractorAccuracy | None: None for features of no classifier of these classes.
    """
    known = getattr(extractor, 'classes', None)
    scores = getattr(extractor, 'class_scores', None)
    if not known or scores is None or len(known) < 2:
        return None
    names = [resolve_class(name, known) for name in real.classes]
    usable = np.isin(real.labels, [i for i, name in enumerate(names) if name is not None])
    trained_on = _trained_on(extractor, dataset)
    if trained_on:
        recorded = extractor.recorded_accuracy
        images = 'of its validation images'
        if recorded is None:
            images = 'since the real images trained it and its checkpoint has no validation'
        return ExtractorAccuracy(recorded, len(known), images)
    logits = scores(torch.from_numpy(real.features[usable])) if usable.any() else None
    if logits is None:
        return None
    found = logits.argmax(dim=1).cpu().numpy()
    labels = real.labels[usable]
    right = [
        float(np.mean(found[labels == label] == known.index(names[label])))
        for label in np.unique(labels)
    ]
    images = f'of the {len(labels)} real images, mean over {len(right)} classes'
    if trained_on is None:
        images += ' (whether it was trained on them is not known)'
    return ExtractorAccuracy(float(np.mean(right)), len(known), images)


def _trained_on(extractor: FeatureExtractor, dataset: Any) -> Optional[bool]:
    """Whether some of a data set's images trained the classifier; None where it is not known."""
    trained = extractor.training_images
    if trained is None or not hasattr(dataset, 'get_data_info') or not len(dataset):
        return None
    count = len(dataset)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).astype(int))
    files = [dataset.get_data_info(int(index)).get('img_path') for index in chosen]
    if None in files:
        return None
    return not trained.isdisjoint(to_hex(content_hashes(files, title='Who trained the classifier')))
