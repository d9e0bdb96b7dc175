"""Centroids of real images and scores of candidates: one pass each over the files."""

from pathlib import Path
from typing import Callable, List, Optional, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cellgan_plugin.datasets.views import apply_view
from cellgan_plugin.files import read_arrays, write_arrays
from cellgan_plugin.selection.centroids import Centroids, CentroidSums
from cellgan_plugin.selection.extractor import McDropoutClassifier
from cellgan_plugin.selection.scores import CENTROID_PASS, CandidateScores, score_batch
from cellgan_plugin.selection.stream import ImageStream

_PART = 1024  # candidates whose scores are saved together


def _bar(total: int, title: str) -> tqdm:
    return tqdm(total=total, desc=title, unit='image', disable=None, leave=False, mininterval=0.5)


@torch.no_grad()
def compute_centroids(
    network: McDropoutClassifier,
    stream: ImageStream,
    labels: Sequence[int],
    seed: int = 0,
) -> Centroids:
    """Eq. (7) of HistoGAN: average map per class and stage.

    "c_i is retained by one time MC-sampling": every image is run once, with a mask of its own.
    Memory does not depend on the number of images.

    Args:
        network (McDropoutClassifier): On its device.
        stream (ImageStream): The real training images.
        labels (Sequence[int]): One per image.
        seed (int): Of the masks. Defaults to 0.
    """
    sums = CentroidSums(network.num_classes)
    classes = torch.as_tensor(np.asarray(labels, dtype=np.int64))
    with _bar(len(stream), 'Class centroids') as bar:
        for rows, images in stream:
            trunk = network.trunk(images)
            keys = stream.files[rows]
            _, last = network.top(trunk, network.masks(trunk, seed, CENTROID_PASS, keys))
            if not torch.isfinite(last).all():
                raise ValueError(
                    f'{keys[0]}, ...: maps of real images are NaN or infinite; the weights of the '
                    'classifier are damaged or overflow'
                )
            _, plain = network.top(trunk)
            sums.add([*trunk.maps, last], classes[rows], plain)
            bar.update(len(images))
    return sums.centroids()


def score_candidates(
    network: McDropoutClassifier,
    centroids: Callable[[], Centroids],
    stream: ImageStream,
    labels: Sequence[int],
    passes: int = 5,
    seed: int = 0,
    layers: Optional[Sequence[int]] = None,
    save_dir: Optional[Path] = None,
) -> CandidateScores:
    """Scores of all candidates; only the scores are kept in memory.

    Args:
        network (McDropoutClassifier): On its device.
        centroids (Callable): Gives the centroids; asked only when an image has to be scored.
        stream (ImageStream): The candidates.
        labels (Sequence[int]): Their assigned labels.
        passes (int): K. Defaults to 5.
        seed (int): Of the masks. Defaults to 0.
        layers (Sequence[int], optional): See :func:`~cellgan_plugin.selection.score_batch`.
        save_dir (Path, optional): Scores are saved there in parts of 1024 images; parts that are
            there are not computed again. The folder must belong to the same images, network and
            settings. Defaults to None.
    """
    whole = np.asarray(labels, dtype=np.int64)
    parts: List[CandidateScores] = []
    with _bar(len(stream), 'Scoring candidates') as bar:
        for start in range(0, len(stream), _PART):
            rows = slice(start, min(start + _PART, len(stream)))
            path = None if save_dir is None else save_dir / f'part_{start:08d}.npz'
            part = None if path is None else _saved(path, rows.stop - rows.start)
            if part is None:
                found = _score_part(
                    network, centroids(), stream, rows, whole, (passes, seed, layers), bar
                )
                part = CandidateScores.concatenate(found)
                if path is not None:
                    write_arrays(path, **vars(part))
            else:
                bar.update(len(part))
            parts.append(part)
    return CandidateScores.concatenate(parts)


def _score_part(
    network: McDropoutClassifier,
    centroids: Centroids,
    stream: ImageStream,
    rows: slice,
    labels: np.ndarray,
    settings: tuple,
    bar: tqdm,
) -> List[CandidateScores]:
    part = stream.part(stream.files[rows])
    found = []
    own = torch.from_numpy(labels[rows])
    for batch, images in part:
        keys = part.files[batch]
        found.append(score_batch(network, centroids, images, own[batch], keys, *settings))
        bar.update(len(images))
    return found


def _saved(path: Path, count: int) -> Optional[CandidateScores]:
    """A part that an earlier call saved, or None; damaged ones are said."""
    arrays = read_arrays(path)
    part = None if arrays is None else CandidateScores(**arrays)
    return part if part is not None and len(part) == count else None


@torch.no_grad()
def pooled_features(
    network: McDropoutClassifier,
    stream: ImageStream,
    title: str = 'Features',
    views: Sequence[str] = ('identity',),
) -> np.ndarray:
    """Features of the last stage without dropout, averaged over positions: float32 (N, d).

    Args:
        network (McDropoutClassifier): On its device.
        stream (ImageStream): The images.
        title (str): Of the progress bar.
        views (Sequence[str]): Of each image (:data:`~cellgan_plugin.datasets.views.VIEWS`), which
            are rows after each other: (N * views, d). Defaults to the image itself.
    """
    rows: List[Tensor] = []
    with _bar(len(stream), title) as bar:
        for _, images in stream:
            shown = torch.stack([network(apply_view(images, view)).cpu() for view in views], dim=1)
            rows.append(shown.flatten(0, 1))
            bar.update(len(images))
    return torch.cat(rows).numpy()
