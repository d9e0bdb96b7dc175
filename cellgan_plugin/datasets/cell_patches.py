"""The data set of labelled cell patches."""

import os
import pickle
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from mmagic.registry import DATASETS

from cellgan_plugin.datasets.batches import BatchImages, CellBatch
from cellgan_plugin.datasets.caching import CachedImages, cache_images
from cellgan_plugin.datasets.checked_dataset import CheckedDataset
from cellgan_plugin.datasets.classes import BETHESDA_CLASSES, check_class_names
from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS, ImageFileError
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, ManifestError, iter_manifest
from cellgan_plugin.datasets.problems import (
    ERROR,
    WARNING,
    DatasetError,
    Problem,
    raise_or_say,
)
from cellgan_plugin.datasets.sources import Listing, Rows, list_patches
from cellgan_plugin.datasets.training_checks import check_files


def _has_several_splits(manifest: str) -> bool:
    """Whether there is a manifest with rows of more than one split."""
    try:
        splits = {row.get('split', '').strip() for _, row in iter_manifest(manifest)}
    except (ManifestError, OSError):  # not there, or not ours: nothing is read from it
        return False
    return len(splits) > 1


@DATASETS.register_module()
class CellPatchDataset(CheckedDataset):
    """Labelled cell patches, checked before the first step, as uint8.

    Three layouts, chosen by ``ann_file``:

    - ``''``: class folders below ``data_root`` (joined with ``data_prefix['img_path']``). Folders
      may hold subfolders. Names that start with ``_`` or ``.`` are ignored.
    - ``'*.txt'``: one ``CLASS/file`` per line, as the authors' ``img_list.txt``.
    - ``'*.csv'``: a manifest with columns ``file, label`` and perhaps ``split, group``.

    Listed paths are relative to ``data_root`` joined with ``data_prefix['img_path']``, and to the
    folder of the list when neither is given.

    Args:
        data_root (str): Folder of the data set. Defaults to ''.
        ann_file (str): See above. Defaults to ''.
        metainfo (dict | None): ``dict(classes=[...])``; their order gives the labels. Defaults to
            the five Bethesda classes of the paper, also for ``classes=None``, which lets ``--data``
            say them. Other spellings (``ASC_US``) are understood.
        data_prefix (dict): ``dict(img_path=...)``. Defaults to ``dict(img_path='')``.
        split (str | None): Keep only the manifest rows with this split. Defaults to None.
        extra_classes (str): ``'error'`` or ``'skip'`` images of a class that is not in
            ``classes``. Defaults to 'error'.
        channels (int): 3 for RGB, 1 for grey. Defaults to 3.
        cache (str | None): ``'ram'`` decodes every image once, before the first step, into one
            array that forked workers share; leading transforms marked ``cacheable`` are applied
            first. ``'device'`` keeps that array on the GPU (2 GB per 10,000 images of 256 px),
            where batches are gathered and flipped; it goes with ``num_workers=0`` and
            ``pin_memory=False``. Refused with MemoryError when it would not fit. Defaults to None.
        check (str): ``'header'`` looks at the files (and decodes those whose end looks cut off)
            before the first step, ``'full'`` decodes every file, ``'none'`` leaves errors to the
            loader. With ``split``, training data are also compared with the manifest's other
            splits: a group or a byte-identical file on both sides is an error. Defaults to
            'header'.
        check_limit (int): Most files that ``'header'`` opens, of this split and of the others; of
            more, so many evenly spaced ones. With a cache all are opened. Defaults to 100,000.
        max_pixels (int): Largest width x height of a file. Defaults to 4096 x 4096.
        follow_links (bool): Whether links may lead out of the data folder. Defaults to False.
        pipeline (Sequence): Transforms. They find ``img`` (uint8 array (H, W, C), read-only when
            cached), ``gt_label``, ``img_path``, ``sample_idx``, ``sample_position`` (where in the
            training stream the sample was drawn, the index outside of training) and
            ``sample_seed`` (of that stream, 0 outside of training).
        test_mode (bool): A class without images is an error in training, and a warning when this
            is True. Defaults to False.
        **kwargs: ``indices``, ``serialize_data``, ``lazy_init`` of
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: At construction, with every problem that would harm training.
        MemoryError: When the cache would not fit.
    """

    METAINFO: dict = dict(classes=BETHESDA_CLASSES)
    sample_name = 'cell patch'

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        metainfo: Optional[dict] = None,
        data_prefix: Optional[dict] = None,
        split: Optional[str] = None,
        extra_classes: str = 'error',
        channels: int = 3,
        cache: Optional[str] = None,
        check: str = 'header',
        check_limit: int = 100_000,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        follow_links: bool = False,
        pipeline: Sequence[Union[dict, Callable]] = (),
        test_mode: bool = False,
        **kwargs,
    ):
        choices = (
            ('extra_classes', extra_classes, ('error', 'skip')),
            ('channels', channels, (1, 3)),
            ('cache', cache, (None, 'ram', 'device')),
            ('check', check, ('header', 'full', 'none')),
        )
        self.split = split
        self.extra_classes = extra_classes
        self.channels = channels
        self.cache = cache
        self.check = check
        self.check_limit = check_limit
        self.max_pixels = max_pixels
        self.follow_links = follow_links
        self._cached: Optional[CachedImages] = None
        super().__init__(
            choices,
            pipeline,
            ann_file,
            data_root,
            metainfo=metainfo,
            data_prefix=dict(data_prefix or dict(img_path='')),
            test_mode=test_mode,
            **kwargs,
        )

    @classmethod
    def _load_metainfo(cls, metainfo: Optional[dict] = None) -> dict:
        if metainfo is not None and metainfo.get('classes') is None:  # left open by a config
            metainfo = {key: value for key, value in metainfo.items() if key != 'classes'}
        metainfo = super()._load_metainfo(metainfo)
        if isinstance(metainfo['classes'], str):
            raise ValueError(
                f'CellPatchDataset: metainfo classes {metainfo["classes"]!r} is neither a list of '
                'names nor a text file with one name per line'
            )
        metainfo['classes'] = check_class_names(metainfo['classes'])
        return metainfo

    # Listing ------------------------------------------------------------------------------------

    def list_sources(self, all_splits: bool = False) -> Listing:
        """List the files without opening them; problems are in the listing, not raised.

        Args:
            all_splits (bool): Ignore ``split``. Defaults to False.
        """
        listing = list_patches(
            self.root,
            self.classes,
            self.ann_file,
            None if all_splits else self.split,
            self.extra_classes,
            self.follow_links,
            need_every_class=not self.test_mode,
        )
        if self.split is None and not all_splits:
            splits = sorted({patch.split for patch in listing.patches})
            manifest = os.path.join(self.root, MANIFEST_NAME)
            if len(splits) > 1:
                message = f"rows of all splits {splits} are used; choose one with split='train'"
                listing.add(WARNING, 'split', self.ann_file, message)
            elif not self.ann_file and _has_several_splits(manifest):
                message = (
                    'names several splits, and class folders are read: images of all splits are '
                    f"used. Read one with ann_file='{MANIFEST_NAME}', split='train'"
                )
                listing.add(WARNING, 'split', manifest, message)
        return listing

    def load_data_list(self) -> Sequence[dict]:
        """List the files; DatasetError on any problem that would harm training."""
        listing = self.list_sources()
        raise_or_say(listing.problems, self.root)
        if not listing.patches:  # of an evaluation, which may lack single classes
            message = (
                f'holds no image of the classes {list(self.metainfo["classes"])}. Check the '
                'folder, the spelling of the classes and the split'
            )
            raise DatasetError([Problem(ERROR, 'no images', str(self.root), message)])
        rows = Rows(listing.patches)
        return rows if self.serialize_data else list(rows.consume())

    def _serialize_data(self) -> Tuple[np.ndarray, np.ndarray]:
        # As BaseDataset does it, without a numpy array per row or a second list of all rows.
        rows = self.data_list
        buffer = bytearray()
        ends = np.empty(len(rows), dtype=np.int64)
        infos = rows.consume() if isinstance(rows, Rows) else rows
        for row, info in enumerate(infos):
            buffer += pickle.dumps(info, protocol=4)
            ends[row] = len(buffer)
        self.data_list = []
        return np.frombuffer(buffer, dtype=np.uint8), ends

    def full_init(self) -> None:
        """List, check and, with ``cache='ram'``, decode."""
        if self._fully_initialized:
            return
        super().full_init()
        self._fully_initialized = False  # until everything below has worked
        shapes = None
        if self.check != 'none' or self.cache:
            shapes = check_files(self, decode=self.check == 'full' and not self.cache)
        if self.cache:
            self._cached = cache_images(self, shapes)
        self._fully_initialized = True

    def output_shape(self, height: int, width: int) -> Tuple[int, int]:
        """Height and width after the pipeline; ValueError for a size that cannot be used."""
        for transform in self.pipeline.transforms:
            if hasattr(transform, 'output_shape'):
                height, width = transform.output_shape(height, width)
        return height, width

    def scale_of(self, height: int, width: int) -> float:
        """Factor by which the pipeline enlarges (above 1) or reduces an image of this size."""
        factor = 1.0
        for transform in self.pipeline.transforms:
            if hasattr(transform, 'scale_of'):
                factor *= transform.scale_of(height, width)
            if hasattr(transform, 'output_shape'):
                height, width = transform.output_shape(height, width)
        return factor

    # Images -------------------------------------------------------------------------------------

    @property
    def _num_cached_transforms(self) -> int:
        """How many leading transforms are applied before images are cached."""
        transforms = self.pipeline.transforms
        return next(
            (i for i, t in enumerate(transforms) if not getattr(t, 'cacheable', False)),
            len(transforms),
        )

    def decode(self, info: dict) -> np.ndarray:
        """Pixels of the file of one sample, uint8 (H, W, C); DatasetError when it is damaged."""
        try:
            return self.reader.image(info['file'])
        except ImageFileError as error:
            where = os.path.join(self.root, info['file'])
            raise DatasetError([Problem(ERROR, error.kind, where, error.reason)]) from error

    def fit(self, info: dict, image: np.ndarray) -> dict:
        """Apply the cacheable transforms to a decoded image."""
        info['img'], info['ori_shape'] = image, image.shape
        for transform in self.pipeline.transforms[: self._num_cached_transforms]:
            info = transform(info)
        return info

    def known_hashes(self) -> Optional[np.ndarray]:
        """Content hashes of the samples' files, uint8 (N, 16), where a cache has computed them."""
        if self._cached is None or self._cached.hashes is None:
            return None
        return self._cached.hashes[[self._slot(self.stored_info(i)) for i in range(len(self))]]

    def _slot(self, info: dict) -> int:
        return self._cached.slots[info['row']]

    # Samples ------------------------------------------------------------------------------------

    def get_data_info(self, idx: int) -> dict:
        """Everything known of one sample but its pixels.

        Args:
            idx (int): Index; negative ones count from the end.

        Returns:
            dict: ``img_path``, ``gt_label``, ``sample_idx``, ``sample_position``, ``sample_seed``,
            and ``group`` when the manifest has it.
        """
        info = super().get_data_info(idx)
        info['img_path'] = os.path.join(self.root, info['file'])
        return info

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline on one sample; the image comes from the cache or from its file."""
        info = self.get_data_info(idx)
        if self._cached is not None:
            info['img'] = self._cached.pixels[self._slot(info)]
        else:
            info = self.fit(info, self.decode(info))
        info['img_shape'] = info['img'].shape
        return self._transformed(info, self.pipeline.transforms[self._num_cached_transforms :])

    def prepare_batch(self, indices: Sequence[int]) -> dict:
        """Run the pipeline on a whole batch of cached images, where they lie.

        Args:
            indices (Sequence[int]): Of the samples; they may know their stream position.

        Returns:
            dict: As ``stack_cell_batch`` gives it, the images on the cache's device.
        """
        infos = [self.get_data_info(index) for index in indices]
        # A group, say, that some rows of a manifest have and others leave empty, is in no batch.
        shared = [key for key in infos[0] if all(key in info for info in infos)]
        batch = {key: [info[key] for info in infos] for key in shared}
        batch['img'] = self._cached.pixels.gather(self._cached.slots[batch['row']])
        for transform in self.pipeline.transforms[self._num_cached_transforms :]:
            batch = transform.transform_batch(batch)
        return batch

    def __getitems__(self, indices: Sequence[int]) -> Sequence[dict]:
        """The samples of a batch; cached images of one size are gathered when they are stacked."""
        if not self._fully_initialized:
            self.full_init()
        rest = self.pipeline.transforms[self._num_cached_transforms :]
        as_one = self._cached is not None and isinstance(self._cached.pixels, BatchImages)
        if as_one and rest and all(hasattr(transform, 'transform_batch') for transform in rest):
            return CellBatch(self, indices)
        return [self[index] for index in indices]

    def get_cat_ids(self, idx: int) -> List[int]:
        """The label as a list, for MMEngine's ``ClassBalancedDataset``."""
        return [self.stored_info(int(idx))['gt_label']]

    def get_labels(self) -> np.ndarray:
        """Labels of all samples in order, int64 array of shape (N,)."""
        if not self._fully_initialized:
            self.full_init()
        labels = (self.stored_info(index)['gt_label'] for index in range(len(self)))
        return np.fromiter(labels, dtype=np.int64, count=len(self))

    def class_counts(self) -> Dict[str, int]:
        """Number of samples per class, in the order of the labels."""
        counts = np.bincount(self.get_labels(), minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))
