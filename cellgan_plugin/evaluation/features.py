"""Feature sets: features, labels and where they came from, kept together."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from cellgan_plugin.datasets.perceptual_hash import PERCEPTUAL_BYTES, perceptual_hashes
from cellgan_plugin.datasets.views import apply_view
from cellgan_plugin.evaluation.extractors import FeatureExtractor
from cellgan_plugin.evaluation.matrices import FeatureMatrixError
from cellgan_plugin.evaluation.progress import main_progress
from cellgan_plugin.randomness import generator_for


class ExtractorMismatchError(FeatureMatrixError):
    """Features of two different extractors, or of different classes, were to be compared."""


@dataclass(frozen=True)
class FeatureSet:
    """Features of a set of labelled images.

    Attributes:
        features (np.ndarray): float32 (n, d).
        labels (np.ndarray): int64 (n,); -1 for an image of a model without classes.
        classes (tuple[str, ...]): Class names in the order of the labels.
        fingerprint (str): Of the extractor.
        source (dict): Where the images came from, for the record; plain JSON values.
        shown (np.ndarray | None): Perceptual hash of every image, uint8 (n, 32), of all views of
            an image that of the image itself. Defaults to None: not known.
    """

    features: np.ndarray
    labels: np.ndarray
    classes: Tuple[str, ...]
    fingerprint: str
    source: Dict[str, Any]
    shown: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.labels)

    def of_class(self, label: int) -> np.ndarray:
        """Features (m, d) of one class."""
        return self.features[self.labels == label]

    def counts(self) -> Dict[str, int]:
        """Number of images per class."""
        return {name: int((self.labels == i).sum()) for i, name in enumerate(self.classes)}


def require_comparable(*sets: FeatureSet) -> None:
    """Raise :class:`ExtractorMismatchError` unless extractor and classes of all sets agree."""
    first = sets[0]
    for other in sets[1:]:
        if other.fingerprint != first.fingerprint:
            raise ExtractorMismatchError(
                'these features come from different extractors (fingerprints '
                f'{first.fingerprint[:12]} and {other.fingerprint[:12]}) and cannot be compared: '
                'extract both sets with the same network, weights and resize'
            )
        if other.classes != first.classes:
            raise ExtractorMismatchError(
                f'the classes of these sets differ: {list(first.classes)} and '
                f'{list(other.classes)}. Give both the same classes in the same order'
            )


def pack_rows(labels: Tensor, indices: Tensor, features: Tensor) -> Tensor:
    """One float64 row (label, index, feature...) per image: gathers without pickling."""
    columns = [labels.cpu().double()[:, None], indices.cpu().double()[:, None]]
    return torch.cat([*columns, features.cpu().double()], dim=1)


def with_hashes(features: Tensor, hashes: np.ndarray) -> Tensor:
    """Features (n, d) with perceptual hashes, uint8 (n, 32), beside them: float64 (n, d + 32)."""
    return torch.cat([features.cpu().double(), torch.from_numpy(hashes.astype(np.float64))], dim=1)


def split_hashes(features: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The inverse of :func:`with_hashes`: float32 (n, d) and uint8 (n, 32)."""
    return (
        np.ascontiguousarray(features[:, :-PERCEPTUAL_BYTES]),
        features[:, -PERCEPTUAL_BYTES:].astype(np.uint8),
    )


def gather_rows(rows: Sequence[Tensor], feature_dim: int) -> Tuple[np.ndarray, np.ndarray]:
    """Bring the rows of all ranks together, in an order that depends on none of them.

    Args:
        rows (Sequence[Tensor]): Blocks of :func:`pack_rows` of this rank; ranks may hold different
            numbers of rows.
        feature_dim (int): d.

    Returns:
        tuple: ``(labels, features)``: int64 (n,) and float32 (n, d), sorted by label, then index.
        The same on every rank.
    """
    packed = (
        torch.cat(list(rows)) if rows else torch.zeros((0, feature_dim + 2), dtype=torch.float64)
    )
    if get_world_size() > 1:
        counts = torch.cat(all_gather(torch.tensor([len(packed)]))).tolist()
        padded = packed.new_zeros((max(counts), feature_dim + 2))
        padded[: len(packed)] = packed
        parts = all_gather(padded)
        packed = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    table = packed.numpy()
    order = np.lexsort((table[:, 1], table[:, 0]))
    return table[order, 0].astype(np.int64), table[order, 2:].astype(np.float32)


def as_uint8(image: Tensor, where: str) -> Tensor:
    """A real image (C, H, W) as uint8.

    Raises:
        ValueError: For values that are no grey levels.
    """
    if image.dtype == torch.uint8:
        return image
    if image.is_floating_point() and 0 <= image.min() and 1.5 < image.max() <= 255:
        return image.round().to(torch.uint8)
    raise ValueError(
        f'{where}: the real image is {image.dtype} with values from {image.min():g} to '
        f'{image.max():g}; expected grey levels 0..255 (uint8). Leave normalisation to the data '
        'preprocessor'
    )


@dataclass(frozen=True)
class RealImage:
    """One real image of a data set as the loader worker gives it."""

    index: int
    label: int
    image: Tensor  # uint8 (C, H, W), RGB or grey
    path: str


class RealImages:
    """What an MMagic data set holds, as uint8 RGB images with labels.

    Args:
        dataset: Any MMagic data set whose pipeline ends in ``PackCellInputs`` or ``PackInputs``.
    """

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> RealImage:
        sample = self.dataset[index]
        image, data = sample['inputs'], sample['data_samples']
        if isinstance(image, dict):
            image = image.get('img', image.get('gt_img'))
        if image is None:
            image = data.gt_img
        path = data.metainfo.get('img_path') or data.metainfo.get('gt_path') or f'image {index}'
        image = as_uint8(image, str(path))
        order = channel_order_of(data)
        if order == 'BGR' and image.shape[0] == 3:
            image = image.flip(0)
        label = int(data.gt_label.label) if 'gt_label' in data else -1
        return RealImage(int(index), label, image, str(path))


def channel_order_of(sample) -> str:
    """'RGB', 'BGR' or 'single' of a data sample; BGR where it does not say (MMagic's loader)."""
    for key in ('img_channel_order', 'gt_channel_order'):
        order = sample.metainfo.get(key)
        if order is not None:
            return order
    return 'BGR'


def extract_images(
    images,
    extractor: FeatureExtractor,
    batch_size: int = 32,
    num_workers: int = 0,
    title: str = 'Features',
    views: Sequence[str] = ('identity',),
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of all images, each rank doing its share.

    Args:
        images: A map-style data set of :class:`RealImage`.
        extractor (FeatureExtractor): The network.
        batch_size (int): Images at a time. Defaults to 32.
        num_workers (int): Loader workers. Defaults to 0.
        title (str): Of the progress bar.
        views (Sequence[str]): Of each image, see :data:`~cellgan_plugin.datasets.views.VIEWS`.
            Defaults to the image itself.

    Returns:
        tuple: ``(labels, features)`` as of :func:`gather_rows`, the same on every rank, and the
        perceptual hashes, uint8 (n, 32); the views of an image are rows after each other.

    Raises:
        ValueError: When features are not finite; names the image.
    """
    share = range(get_rank(), len(images), get_world_size())
    rows: List[Tensor] = []
    if len(share):
        loader = DataLoader(
            Subset(images, share),
            batch_size,
            num_workers=num_workers,
            collate_fn=list,
            # Its start draws a number, which is not to come from the generator of a training run.
            generator=generator_for(0, 'feature_workers'),
        )
        for batch in main_progress(loader, len(loader), title):
            labels = torch.tensor([item.label for item in batch])
            indices = torch.tensor([item.index for item in batch])
            hashes = perceptual_hashes([item.image for item in batch])
            for number, view in enumerate(views):
                found = extractor.of_images([apply_view(item.image, view) for item in batch])
                _check_finite(found, batch, extractor)
                found = with_hashes(found, hashes)
                rows.append(pack_rows(labels, indices * len(views) + number, found))
    labels, table = gather_rows(rows, extractor.feature_dim + PERCEPTUAL_BYTES)
    return (labels, *split_hashes(table))


def _check_finite(
    features: Tensor, batch: Sequence[RealImage], extractor: FeatureExtractor
) -> None:
    finite = torch.isfinite(features).all(dim=1)
    if not finite.all():
        bad = batch[int((~finite).nonzero()[0])]
        raise ValueError(
            f'{bad.path}: the features of {extractor.name} are NaN or infinite; its weights are '
            'damaged or overflow. Check the checkpoint of the extractor'
        )


def drop_tail(labels: np.ndarray, features: np.ndarray, batch_size: int) -> Tuple:
    """Leave out each class's last partial batch, as the authors' program does on both sides."""
    keep = np.ones(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        keep[rows[len(rows) // batch_size * batch_size :]] = False
    return labels[keep], features[keep]
