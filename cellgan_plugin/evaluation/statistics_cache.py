"""Features of a data set's images, computed once and kept on disk."""

import os
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

import numpy as np
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.logging import print_log

from cellgan_plugin.datasets.perceptual_hash import PERCEPTUAL_BYTES
from cellgan_plugin.evaluation.extractors import FeatureExtractor
from cellgan_plugin.evaluation.features import FeatureSet, RealImages, extract_images
from cellgan_plugin.files import read_arrays, say_damaged, write_arrays
from cellgan_plugin.records import contents_of, digest_of

CACHE_VARIABLE = 'CELLGAN_FEATURE_CACHE'
DEFAULT_CACHE = Path('work_dirs') / 'feature_cache'
# Raised when what is written, or how features are computed, changes.
_FORMAT = 3


def cache_folder(cache_dir: Optional[Union[str, Path]] = None) -> Path:
    """Where features are kept: argument, ``CELLGAN_FEATURE_CACHE``, ``work_dirs/feature_cache``."""
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE)


def describe_dataset(dataset) -> Optional[Dict[str, Any]]:
    """Everything the images and labels of a data set depend on, or None when it cannot be told.

    Files count by their content, with label and tile; further the class names, the split, the
    channels and the transforms with their settings. Where the files lie does not matter.
    """
    pipeline = getattr(getattr(dataset, 'pipeline', None), 'transforms', None)
    if pipeline is None or not hasattr(dataset, 'get_data_info'):
        return None
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    paths = [info.get('img_path') or info.get('gt_path') for info in infos]
    try:
        content = contents_of({path: path for path in paths})
    except (OSError, TypeError):
        return None
    rows = [
        [content[path], info.get('gt_label'), info.get('tile')]
        for path, info in zip(paths, infos, strict=True)
    ]
    return dict(
        type=type(dataset).__name__,
        images=len(dataset),
        files=digest_of(rows),
        classes=list(dataset.metainfo.get('classes') or ()),
        split=getattr(dataset, 'split', None),
        channels=getattr(dataset, 'channels', None),
        pipeline=[repr(transform) for transform in pipeline],
    )


def cache_key(
    description: Dict[str, Any], extractor: FeatureExtractor, views: Sequence[str] = ('identity',)
) -> str:
    """Name of the cache file: a hash of the data set's description, the extractor and the views."""
    shown = [] if tuple(views) == ('identity',) else [list(views)]
    return digest_of([_FORMAT, description, extractor.fingerprint, extractor.feature_dim, *shown])


def load_cached(path: Path, key: str, feature_dim: int) -> Optional[Dict[str, np.ndarray]]:
    """Arrays of a cache file; None when there is none or it is damaged (said)."""
    found = read_arrays(path)
    if found is None:
        return None
    whole = (
        set(found) == {'key', 'labels', 'features', 'shown'}
        and found['shown'].shape == (len(found['labels']), PERCEPTUAL_BYTES)
        and found['shown'].dtype == np.uint8
        and str(found['key']) == key
        and found['features'].shape == (len(found['labels']), feature_dim)
        and found['features'].dtype == np.float32
        and bool(np.isfinite(found['features']).all())
    )
    if not whole:
        say_damaged(path, 'it holds something else')
        return None
    return found


def store(path: Path, key: str, **arrays: np.ndarray) -> None:
    """Write a cache file, whole or not at all; a folder that cannot be written is only said."""
    try:
        write_arrays(path, key=np.array(key), **arrays)
    except OSError as error:
        print_log(
            f'features of real images are not kept on disk: {error}. Set {CACHE_VARIABLE} to a '
            'folder that can be written',
            'current',
            30,
        )


def real_features(
    dataset,
    extractor: FeatureExtractor,
    cache_dir: Optional[Union[str, Path]] = None,
    batch_size: int = 32,
    num_workers: int = 0,
    what: str = 'real images',
    views: Sequence[str] = ('identity',),
) -> FeatureSet:
    """Features of a data set, from the cache or computed. Every rank must call it.

    Args:
        dataset: MMagic data set; see :class:`RealImages`.
        extractor (FeatureExtractor): On the device to compute on.
        cache_dir (str | Path, optional): See :func:`cache_folder`.
        batch_size (int): Images at a time. Defaults to 32.
        num_workers (int): Loader workers. Defaults to 0.
        what (str): The images are, for messages. Defaults to 'real images'.
        views (Sequence[str]): See :func:`extract_images`. Defaults to the image itself.

    Returns:
        FeatureSet: The same on every rank that computed, complete on the first one always.
    """
    description = describe_dataset(dataset)
    path = key = None
    arrays: Optional[Dict[str, np.ndarray]] = None
    if description is not None:
        key = cache_key(description, extractor, views)
        path = cache_folder(cache_dir) / f'{key[:32]}.npz'
    if path is not None and get_rank() == 0:
        arrays = load_cached(path, key, extractor.feature_dim)
    hit = [arrays is not None]
    broadcast_object_list(hit)
    if not hit[0]:
        labels, features, shown = extract_images(
            RealImages(dataset), extractor, batch_size, num_workers, f'Features of {what}', views
        )
        arrays = dict(labels=labels, features=features, shown=shown)
        if path is not None and get_rank() == 0:
            store(path, key, **arrays)
            print_log(f'Features of {len(labels)} {what} are kept in {path}', 'current')
    elif get_rank() == 0:
        print_log(f'Features of {len(arrays["labels"])} {what}: {path}', 'current')
    if arrays is None:  # another rank than the first, and a hit: nothing is computed here
        arrays = dict(
            labels=np.zeros(0, np.int64),
            features=np.zeros((0, extractor.feature_dim), np.float32),
            shown=np.zeros((0, PERCEPTUAL_BYTES), np.uint8),
        )
    source = dict(
        root=str(getattr(dataset, 'root', getattr(dataset, 'data_root', ''))),
        description=description,
    )
    classes = tuple(dataset.metainfo.get('classes') or ())
    return FeatureSet(
        arrays['features'],
        arrays['labels'],
        classes,
        extractor.fingerprint,
        source,
        arrays['shown'],
    )
