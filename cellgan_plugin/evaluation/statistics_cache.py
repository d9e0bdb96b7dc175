"""Features of real images, computed once and kept on disk."""

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Union

import numpy as np
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.logging import print_log

from cellgan_plugin.evaluation.extractors import FeatureExtractor
from cellgan_plugin.evaluation.features import FeatureSet, RealImages, extract_images
from cellgan_plugin.files import atomic_write

CACHE_VARIABLE = 'CELLGAN_FEATURE_CACHE'
DEFAULT_CACHE = Path('work_dirs') / 'feature_cache'
# Raised when what is written, or how features are computed, changes.
_FORMAT = 1


def cache_folder(cache_dir: Optional[Union[str, Path]] = None) -> Path:
    """Where features are kept: argument, ``CELLGAN_FEATURE_CACHE``, ``work_dirs/feature_cache``."""
    return Path(cache_dir or os.environ.get(CACHE_VARIABLE) or DEFAULT_CACHE)


def describe_dataset(dataset) -> Optional[Dict[str, Any]]:
    """Everything the images and labels of a data set depend on, or None when it cannot be told.

    Files count by path, size and modification time; further by label, class names, split,
    channels and the transforms with their settings.
    """
    pipeline = getattr(getattr(dataset, 'pipeline', None), 'transforms', None)
    if pipeline is None or not hasattr(dataset, 'get_data_info'):
        return None
    files = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = info.get('img_path') or info.get('gt_path')
        try:
            status = os.stat(path)
        except (OSError, TypeError):
            return None
        row = [os.path.abspath(path), status.st_size, status.st_mtime_ns, str(info.get('gt_label'))]
        files.update(json.dumps(row).encode())
    return dict(
        type=type(dataset).__name__,
        images=len(dataset),
        files=files.hexdigest(),
        classes=list(dataset.metainfo.get('classes') or ()),
        split=getattr(dataset, 'split', None),
        channels=getattr(dataset, 'channels', None),
        pipeline=[repr(transform) for transform in pipeline],
    )


def cache_key(description: Dict[str, Any], extractor: FeatureExtractor) -> str:
    """Name of the cache file: a hash of the data set's description and the extractor."""
    content = [_FORMAT, description, extractor.fingerprint, extractor.feature_dim]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load_cached(path: Path, key: str, feature_dim: int) -> Optional[Dict[str, np.ndarray]]:
    """Features and labels of a cache file; None when there is none or it is damaged (said)."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(labels=archive['labels'], features=archive['features'])
            whole = (
                str(archive['key']) == key
                and arrays['features'].shape == (len(arrays['labels']), feature_dim)
                and arrays['features'].dtype == np.float32
                and bool(np.isfinite(arrays['features']).all())
            )
        if whole:
            return arrays
        reason = 'it holds something else'
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    print_log(f'{path} is damaged ({reason}); its features are computed again', 'current', 30)
    return None


def store(path: Path, key: str, labels: np.ndarray, features: np.ndarray) -> None:
    """Write a cache file, whole or not at all; a folder that cannot be written is only said."""
    try:
        with atomic_write(path) as file:
            np.savez(file, key=np.array(key), labels=labels, features=features)
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
) -> FeatureSet:
    """Features of a data set, from the cache or computed. Every rank must call it.

    Args:
        dataset: MMagic data set; see :class:`RealImages`.
        extractor (FeatureExtractor): On the device to compute on.
        cache_dir (str | Path, optional): See :func:`cache_folder`.
        batch_size (int): Images at a time. Defaults to 32.
        num_workers (int): Loader workers. Defaults to 0.

    Returns:
        FeatureSet: The same on every rank that computed, complete on the first one always.
    """
    description = describe_dataset(dataset)
    path = key = None
    arrays: Optional[Dict[str, np.ndarray]] = None
    if description is not None:
        key = cache_key(description, extractor)
        path = cache_folder(cache_dir) / f'{key[:32]}.npz'
    if path is not None and get_rank() == 0:
        arrays = load_cached(path, key, extractor.feature_dim)
    hit = [arrays is not None]
    broadcast_object_list(hit)
    if not hit[0]:
        labels, features = extract_images(
            RealImages(dataset), extractor, batch_size, num_workers, 'Features of real images'
        )
        arrays = dict(labels=labels, features=features)
        if path is not None and get_rank() == 0:
            store(path, key, labels, features)
            print_log(f'Features of {len(labels)} real images are kept in {path}', 'current')
    elif get_rank() == 0:
        print_log(f'Features of {len(arrays["labels"])} real images: {path}', 'current')
    if arrays is None:  # another rank than the first, and a hit: nothing is computed here
        arrays = dict(
            labels=np.zeros(0, np.int64), features=np.zeros((0, extractor.feature_dim), np.float32)
        )
    source = dict(
        root=str(getattr(dataset, 'root', getattr(dataset, 'data_root', ''))),
        description=description,
    )
    classes = tuple(dataset.metainfo.get('classes') or ())
    return FeatureSet(arrays['features'], arrays['labels'], classes, extractor.fingerprint, source)
