"""Generated images beside the training images that they come nearest to."""

from typing import Any, Dict, List, Tuple

import numpy as np

from cellgan_plugin.evaluation.features import FeatureSet
from cellgan_plugin.evaluation.neighbours import TrainingNeighbours
from cellgan_plugin.visualization.block_sheet import block_sheet

NEAREST = '_nearest.png'  # end of the file's name
_PAIRS = 4  # of each class


def nearest_sheet(
    neighbours: TrainingNeighbours,
    generated: FeatureSet,
    generated_images: Any,
    training_images: Any,
) -> np.ndarray:
    """Draw the closest pairs of every class, the closest first: copies are found by eye.

    Args:
        neighbours (TrainingNeighbours): Of the two sets.
        generated (FeatureSet): Generated images.
        generated_images (Dataset): The data set of ``generated``; ``dataset[i]['inputs']['img']``
            is uint8 (C, H, W).
        training_images (Dataset): That of the training images.

    Returns:
        np.ndarray: uint8 RGB (H, W, 3): a row per class, pairs of generated and training image.
    """
    places = [_places(dataset) for dataset in (generated_images, training_images)]
    blocks: List[Tuple[str, Dict[str, List[np.ndarray]]]] = [
        ('generated | training', {name: [] for name in generated.classes}) for _ in range(_PAIRS)
    ]
    for label, name in enumerate(generated.classes):
        own = np.flatnonzero(generated.labels == label)
        nearest = own[np.argsort(neighbours.distances[own], kind='stable')][:_PAIRS]
        for (_, block), row in zip(blocks, nearest, strict=False):
            block[name] = [
                _pixels(generated_images, places[0][row]),
                _pixels(training_images, places[1][neighbours.indices[row]]),
            ]
    return block_sheet(blocks, 2)


def _places(dataset: Any) -> np.ndarray:
    """Index in the data set of every row of its features, which are sorted by class."""
    labels = [dataset.get_data_info(index)['gt_label'] for index in range(len(dataset))]
    return np.argsort(np.asarray(labels), kind='stable')


def _pixels(dataset: Any, index: int) -> np.ndarray:
    image = dataset[int(index)]['inputs']['img'].permute(1, 2, 0).numpy()
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
