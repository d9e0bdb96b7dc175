"""Every checkpoint knows which images it was trained on."""

import time
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np
import torch
from mmagic.registry import HOOKS
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch.utils.data import ConcatDataset, Subset

from cellgan_plugin.datasets.content_hash import (
    HASH_BYTES,
    TRAINING_IMAGES,
    as_hashes,
    content_hashes,
    group_hashes,
    merge_hashes,
    split_groups,
    write_training_images,
)
from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS, ImageFileError
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.records import digest_of, file_digests

# Keys of a checkpoint.
HASHES = 'training_images'
LISTING = 'training_images_listing'

_NOTHING = np.zeros((0, HASH_BYTES), dtype=np.uint8)


def files_and_groups(dataset: Any) -> Optional[Dict[str, str]]:
    """Paths of all images of a data set, each once, in order, with their groups.

    A group is a slide, a field or a patient, '' where it is not known. Known are data sets whose
    ``get_data_info`` gives ``img_path`` (those of this plugin and of MMPretrain), and MMEngine's
    and torch's wrappers of such; None for others.
    """
    found = _files_and_groups(dataset)
    return None if found is None else dict(found)


def _files_and_groups(dataset: Any) -> Optional[Iterable[Tuple[str, str]]]:
    if isinstance(dataset, (RepeatDataset, ClassBalancedDataset)):  # every image is drawn
        return _files_and_groups(dataset.dataset)
    if isinstance(dataset, ConcatDataset):  # torch's, and MMEngine's, which is one
        parts = [_files_and_groups(part) for part in dataset.datasets]
        return None if None in parts else [pair for part in parts for pair in part]
    indices: Iterable[int] = range(len(dataset))
    if isinstance(dataset, Subset):
        dataset, indices = dataset.dataset, dataset.indices
    if not hasattr(dataset, 'get_data_info'):
        return None
    infos = map(dataset.get_data_info, map(int, indices))
    found = [(info.get('img_path'), str(info.get('group') or '')) for info in infos]
    return None if any(file is None for file, _ in found) else found


@HOOKS.register_module()
class TrainingImagesHook(Hook):
    """Writes down which images a model is trained on, by their pixels.

    A generator that has seen the test images of a classifier makes the classifier look better
    than it is. With this hook that can be found out later, from any checkpoint of the run: it
    holds ``training_images``, a uint8 tensor (N, 16) of hashes
    (:mod:`cellgan_plugin.datasets.content_hash`), and so does
    ``<work_dir>/training_images.txt`` as text.

    What counts:

    - every image of the training data set, whether it was drawn yet or not, and its group where
      the data set tells it (an entry of a form of its own,
      :func:`~cellgan_plugin.datasets.content_hash.group_hashes`);
    - what the weights that the run started from (``--resume``, ``load_from``) were trained on, as
      their checkpoint says;
    - what the model says its parts were trained on: ``model.inherited_training_images``, a uint8
      tensor (N, 16), or None when a part of the model was trained on images that nobody knows.
      A latent diffusion model sets it to those of its autoencoder. Models without the attribute
      inherit nothing.

    Where any of these cannot be told, the list would be incomplete and pass for complete: nothing
    is written, which a reader has to take for "unknown", and the log says why.

    Hashing costs 2 to 5 ms of one core per image of 256 px, once: a data set with a cache hashes
    what it decodes anyway, and a resumed run whose files have the same bytes takes the hashes from
    its checkpoint. No random numbers are drawn.
    """

    def __init__(self):
        self.hashes: Optional[np.ndarray] = None  # None: unknown
        self._groups = _NOTHING
        self._listing = ''
        self._loaded: List[np.ndarray] = []  # of the checkpoints that the weights came from
        self._loaded_listing = ''
        self._unknown: Optional[str] = None  # why the list cannot be complete

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take over what the loaded weights were trained on."""
        if HASHES not in checkpoint:
            self._unknown = (
                'the loaded checkpoint does not say which images it was trained on (it was made '
                'without TrainingImagesHook)'
            )
            return
        self._loaded.append(as_hashes(checkpoint[HASHES]))
        self._loaded_listing = checkpoint.get(LISTING, '')

    def before_train(self, runner) -> None:
        """Hash the training images and write the list into the work directory."""
        if not is_main_process():
            return
        started = time.monotonic()
        self.hashes = None
        own = self._hash(runner) if self._unknown is None else None
        inherited = getattr(unwrap(runner.model), 'inherited_training_images', _NOTHING)
        if inherited is None:
            self._unknown = 'a part of the model does not say which images it was trained on'
        if self._unknown is not None:
            (Path(runner.work_dir) / TRAINING_IMAGES).unlink(missing_ok=True)
            runner.logger.warning(
                f'{self._unknown}, so the checkpoints of this run will not say it either: the '
                'benchmark cannot rule out that its test images are among them'
            )
            return
        self.hashes = merge_hashes(own, *self._loaded, inherited, self._groups)
        path = write_training_images(runner.work_dir, self.hashes)
        images, groups = map(len, split_groups(self.hashes))
        runner.logger.info(
            f'{images} different images{f" of {groups} groups" if groups else ""} train this model '
            f'({path}; {time.monotonic() - started:.1f} s)'
        )

    def _hash(self, runner) -> Optional[np.ndarray]:
        dataset = runner.train_dataloader.dataset
        found = files_and_groups(dataset)
        if found is None:
            self._unknown = f'{type(dataset).__name__} does not name the files of its images'
            return None
        files = list(found)
        self._groups = group_hashes(found.values())
        try:
            self._listing = digest_of(sorted(file_digests(files)))
            if self._listing == self._loaded_listing:
                return _NOTHING  # they are among the loaded ones
            if hasattr(dataset, 'known_hashes') and (known := dataset.known_hashes()) is not None:
                return known
            limit = getattr(dataset, 'max_pixels', DEFAULT_MAX_PIXELS)
            return content_hashes(files, max_pixels=limit, title='Hashing training images')
        except (ImageFileError, OSError) as error:
            # Training will stop at it, unless its data set reads files that this plugin does not.
            self._unknown = f'a training image cannot be read ({error})'
            return None

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the hashes into the checkpoint."""
        if self.hashes is not None:
            checkpoint[HASHES] = torch.from_numpy(self.hashes)
            checkpoint[LISTING] = self._listing
