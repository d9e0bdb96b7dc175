"""The data set of image + mask pairs, cut into tiles."""

import logging
import os
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from mmagic.registry import DATASETS
from mmengine.logging import print_log

from cellgan_plugin.datasets.checked_dataset import CheckedDataset
from cellgan_plugin.datasets.classes import check_class_names
from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS
from cellgan_plugin.datasets.labelled_split import choose_labelled
from cellgan_plugin.datasets.mask_sources import PairLayout, PairListing, TissuePair, list_pairs
from cellgan_plugin.datasets.pair_store import PairStore
from cellgan_plugin.datasets.problems import WARNING, raise_or_say
from cellgan_plugin.datasets.segmentation_labels import IGNORE_INDEX, make_mask_rule
from cellgan_plugin.datasets.tiling import cut_tile, tile_grid, tile_size
from cellgan_plugin.datasets.tissue_checks import check_amounts, check_pairs, inspect_pairs

Splits = Union[None, str, Sequence[str]]


def _names(splits: Splits) -> Optional[Tuple[str, ...]]:
    return (splits,) if isinstance(splits, str) else None if splits is None else tuple(splits)


@DATASETS.register_module()
class TissueMaskDataset(CheckedDataset):
    """Images with semantic masks, whole or in overlapping tiles, checked before the first step.

    Every image is cut into tiles of ``tile`` px at its own scale (Sec. 4.1.3 of the pyramid
    paper); a sample is one tile, or one whole image with ``tile=None``. Which images count as
    labelled follows from (``labelled_seed``, file or group names); the masks of the others are
    not even opened.

    Two layouts, chosen by ``ann_file``: ``'*.csv'``, a manifest with columns ``file, mask`` and
    perhaps ``split, group, label`` (paths relative to ``data_root``; a row without mask is an
    unlabelled image, see ``missing_masks``); ``''``, a folder of images and one of masks whose
    names agree but for the extension.

    Args:
        data_root (str): Folder of the data set. Defaults to ''.
        ann_file (str): See above. Defaults to ''.
        metainfo (dict | None): ``dict(classes=[...])``; their order gives the class ids, class 0
            is the background. Defaults to ``('stroma', 'gland')``.
        split (str | Sequence[str] | None): Keep only the manifest rows of these splits.
        mask_map (dict | None): Value in the mask file -> class id (255: ignored), e.g.
            ``{0: 0, 255: 1}``. Defaults to None: values are class ids.
        instances (str | None): The masks hold instance ids, 0 for background. ``'binary'``: every
            instance is class 1. ``'label'``: an instance is of the class named in the manifest's
            ``label_column`` for its image. Defaults to None.
        with_instances (bool): Deliver instance ids too; needs ``instances``. Defaults to False.
        tile (int | Sequence[int] | None): Side of the tiles in px or (height, width). Defaults to
            None: whole images, for evaluation.
        min_overlap (int | Sequence[int]): Of neighbouring tiles, px. Defaults to 0.
        small_images (str): What to do with an image smaller than a tile: ``'error'``, or
            ``'mirror'`` it at its lower and right edge, mask and all (nothing is scaled). Defaults
            to 'error'.
        labelled_ratio (float | None): Share of the images whose masks are used, in (0, 1]; a
            larger share of the same seed contains a smaller one. Defaults to None: all.
        labelled_seed (int): Of that choice. Defaults to 0.
        labelled_by (str): ``'group'`` keeps the images of a patient together where the manifest
            has groups, ``'image'`` does not. Defaults to 'group'.
        labelled_only (bool): Leave the unlabelled images out: the supervised baseline for the same
            ratio and seed. Defaults to False.
        transductive (str | Sequence[str]): Splits whose images are trained on without their masks.
            What is then measured on them is transductive. Defaults to ().
        shared_groups (str): What it is that a group is in this split and in another one of the
            manifest: an ``'error'`` or ``'warn'`` (for published splits). Defaults to 'error'.
        img_dir (str): Folder of the images, without a manifest. Defaults to 'images'.
        mask_dir (str): Folder of the masks, without a manifest. Defaults to 'masks'.
        mask_suffix (str): What a mask's name has beyond its image's, e.g. ``'_anno'``.
        mask_column (str): Column of the manifest. Defaults to 'mask'.
        label_column (str): Column of the manifest. Defaults to 'label'.
        missing_masks (str): An image without mask is an ``'error'`` or ``'unlabelled'``. Defaults
            to 'error'.
        cache (str | None): ``'ram'`` decodes every image once, before the first step, into arrays
            that forked workers share. None decodes an image for each of its tiles. Refused with
            MemoryError when it would not fit. Defaults to None.
        check (str): ``'header'`` looks at every file and decodes the masks, ``'full'`` decodes the
            images too, ``'none'`` reads headers alone. Defaults to 'header'.
        max_pixels (int): Largest width x height of a file. Defaults to 4096 x 4096.
        follow_links (bool): Whether links may lead out of the data folder. Defaults to False.
        pipeline (Sequence): Transforms. They find ``img`` (uint8 (H, W, 3)), ``mask`` (uint8
            (H, W) class ids, all :data:`IGNORE_INDEX` where unlabelled), ``instances``,
            ``labelled``, ``img_path``, ``tile`` (y, x, height, width), ``image_size``,
            ``sample_idx``, ``sample_position`` and ``sample_seed``; arrays may be read-only.
        test_mode (bool): For evaluation: nothing is unlabelled. Defaults to False.
        **kwargs: ``indices``, ``serialize_data``, ``lazy_init`` of
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: At construction, with every problem that would harm training.
        MemoryError: When ``cache='ram'`` would not fit.
    """

    METAINFO: dict = dict(classes=('stroma', 'gland'))
    sample_name = 'tile'

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        metainfo: Optional[dict] = None,
        split: Splits = None,
        mask_map: Optional[Mapping[int, int]] = None,
        instances: Optional[str] = None,
        with_instances: bool = False,
        tile: Union[None, int, Sequence[int]] = None,
        min_overlap: Union[int, Sequence[int]] = 0,
        small_images: str = 'error',
        labelled_ratio: Optional[float] = None,
        labelled_seed: int = 0,
        labelled_by: str = 'group',
        labelled_only: bool = False,
        transductive: Splits = (),
        shared_groups: str = 'error',
        img_dir: str = 'images',
        mask_dir: str = 'masks',
        mask_suffix: str = '',
        mask_column: str = 'mask',
        label_column: str = 'label',
        missing_masks: str = 'error',
        cache: Optional[str] = None,
        check: str = 'header',
        max_pixels: int = DEFAULT_MAX_PIXELS,
        follow_links: bool = False,
        pipeline: Sequence[Union[dict, Callable]] = (),
        test_mode: bool = False,
        **kwargs,
    ):
        choices = (
            ('small_images', small_images, ('error', 'mirror')),
            ('labelled_by', labelled_by, ('group', 'image')),
            ('shared_groups', shared_groups, ('error', 'warn')),
            ('missing_masks', missing_masks, ('error', 'unlabelled')),
            ('cache', cache, (None, 'ram')),
            ('check', check, ('header', 'full', 'none')),
        )
        if with_instances and instances is None:
            raise ValueError(
                'TissueMaskDataset: with_instances=True needs masks of instance ids: set '
                "instances='binary' or 'label'"
            )
        if labelled_ratio is not None and not 0 < labelled_ratio <= 1:
            raise ValueError(
                f'TissueMaskDataset: labelled_ratio must be above 0 and at most 1, got '
                f'{labelled_ratio!r}'
            )
        self.tile = None if tile is None else tile_size(tile)
        if self.tile is not None:
            tile_grid(*self.tile, self.tile, min_overlap)  # ValueError for a bad overlap
        self.split, self.transductive = _names(split), _names(transductive) or ()
        overlap = set(self.split or self.transductive) & set(self.transductive)
        if self.transductive and (self.split is None or overlap):
            raise ValueError(
                f'TissueMaskDataset: transductive={list(self.transductive)} are splits beside the '
                f'one that is trained on; split is {split!r}'
            )
        self.min_overlap = min_overlap
        self.small_images = small_images
        self.labelled_ratio = None if test_mode else labelled_ratio
        self.labelled_seed = labelled_seed
        self.labelled_by = labelled_by
        self.labelled_only = labelled_only
        self.shared_groups = shared_groups
        self.instances = instances
        self.with_instances = with_instances
        self.cache = cache
        self.check = check
        self.max_pixels = max_pixels
        self.follow_links = follow_links
        self._layout_options = (
            img_dir, mask_dir, mask_suffix, mask_column, label_column, missing_masks,
        )  # fmt: skip
        self.pairs: List[TissuePair] = []
        self.labelled = np.zeros(0, dtype=bool)  # of each pair
        self._sizes: List[Tuple[int, int]] = []
        self.store: Optional[PairStore] = None
        self._set_rule(metainfo, mask_map)
        super().__init__(
            choices,
            pipeline,
            ann_file,
            data_root,
            metainfo=metainfo,
            data_prefix=dict(),
            test_mode=test_mode,
            **kwargs,
        )

    def _set_rule(self, metainfo: Optional[dict], mask_map: Optional[Mapping[int, int]]) -> None:
        try:
            classes = self._load_metainfo(metainfo)['classes']
            self.rule = make_mask_rule(classes, mask_map, self.instances)
        except ValueError as error:
            raise ValueError(f'TissueMaskDataset: {error}') from error

    @classmethod
    def _load_metainfo(cls, metainfo: Optional[dict] = None) -> dict:
        metainfo = super()._load_metainfo(metainfo)
        if isinstance(metainfo['classes'], str):
            raise ValueError(f'metainfo classes {metainfo["classes"]!r} is no list of names')
        metainfo['classes'] = check_class_names(metainfo['classes'])
        metainfo['num_classes'] = len(metainfo['classes'])
        return metainfo

    # Listing ------------------------------------------------------------------------------------

    def list_sources(self, all_splits: bool = False) -> PairListing:
        """List the pairs without opening them; problems are in the listing, not raised.

        Args:
            all_splits (bool): Ignore ``split`` and ``transductive``. Defaults to False.
        """
        label_classes = self.classes[1:] if self.instances == 'label' else ()
        layout = PairLayout(
            self.root, self.ann_file, *self._layout_options, label_classes, self.follow_links
        )
        # GlaS is often at hand without its test set B: what is there can be evaluated.
        listing = list_pairs(layout, None if all_splits else self.split, not self.test_mode)
        splits = sorted({pair.split for pair in listing.pairs})
        if self.split is None and not all_splits and len(splits) > 1:
            message = f"rows of all splits {splits} are used; choose one with split='train'"
            listing.add(WARNING, 'split', self.ann_file, message)
        if self.transductive and not all_splits and not self.test_mode:
            # Whatever is known of these images is not looked at.
            blind = layout._replace(missing_masks='unlabelled', label_classes=())
            hidden = list_pairs(blind, self.transductive, need_every_split=False)
            listing.pairs += [pair._replace(mask='', label='') for pair in hidden.pairs]
            listing.problems += [p for p in hidden.problems if p not in listing.problems]
        return listing

    def labelled_of(self, pairs: Sequence[TissuePair]) -> np.ndarray:
        """Whether the mask of each pair is used, bool (N,)."""
        labelled = np.array([bool(pair.mask) for pair in pairs])
        if self.labelled_ratio is not None:
            known = np.flatnonzero(labelled)
            labelled[known] = choose_labelled(
                [pairs[i].file for i in known],
                self.labelled_ratio,
                self.labelled_seed,
                [pairs[i].group for i in known] if self.labelled_by == 'group' else (),
                [pairs[i].label for i in known],
            )
        return labelled

    def load_data_list(self) -> List[dict]:
        """List pairs and tiles; DatasetError on any problem that would harm training."""
        listing = self.list_sources()
        raise_or_say(listing.problems, self.root)
        pairs, labelled = listing.pairs, self.labelled_of(listing.pairs)
        if self.labelled_only or self.test_mode:
            pairs = [pair for pair, keep in zip(pairs, labelled, strict=True) if keep]
            labelled = labelled[labelled]
        sizes, problems = inspect_pairs(self, pairs, labelled)
        problems += check_amounts(self, pairs, labelled)
        raise_or_say(problems, self.root)
        self.pairs, self.labelled, self._sizes = pairs, labelled, sizes
        data_list = []
        for row, (height, width) in enumerate(sizes):
            tile = self.tile or (height, width)
            for y, x in tile_grid(height, width, tile, self.min_overlap if self.tile else 0):
                data_list.append(dict(row=row, tile=(int(y), int(x), *tile)))
        return data_list

    def full_init(self) -> None:
        """List, check and, with ``cache='ram'``, decode."""
        if self._fully_initialized:
            return
        super().full_init()
        self._fully_initialized = False  # until everything below has worked
        self.store = PairStore(
            self.reader, self.rule, self.classes, self.pairs, self.labelled, self._sizes,
            self.with_instances,
        )  # fmt: skip
        if self.cache:
            self.store.fill_cache()
        elif self.check != 'none':
            self.store.check(decode_images=self.check == 'full')
        if not self.test_mode and self.check != 'none':
            raise_or_say(check_pairs(self), self.root)
        self._fully_initialized = True
        self._say_what_is_used()

    def _say_what_is_used(self) -> None:
        if self.test_mode:
            return
        flags = self.labelled_flags()
        hidden = sum(pair.split in self.transductive for pair in self.pairs)
        lines = [
            f'{self.root}: {int(self.labelled.sum())} labelled images ({int(flags.sum())} samples)'
        ]
        if not self.labelled.all():
            lines.append(f'{int((~self.labelled).sum())} unlabelled ({int((~flags).sum())})')
        print_log(', '.join(lines), 'current')
        if hidden:
            print_log(
                f'TRANSDUCTIVE: {hidden} images of split {list(self.transductive)} are trained on '
                'without their masks. What is measured on them is no inductive result: say so '
                'wherever it is shown',
                'current',
                logging.WARNING,
            )

    # Samples ------------------------------------------------------------------------------------

    def get_data_info(self, idx: int) -> dict:
        """Everything known of one sample but its pixels.

        Args:
            idx (int): Index; negative ones count from the end.

        Returns:
            dict: ``img_path``, ``tile`` (y, x, height, width in its image), ``image_size`` (height,
            width), ``labelled``, ``sample_idx``, ``sample_position``, ``sample_seed``, and
            ``group``, ``label``, ``split`` where the manifest has them.
        """
        info = super().get_data_info(idx)
        row = info['row']
        pair = self.pairs[row]
        known = dict(group=pair.group, label=pair.label, split=pair.split)
        info.update({key: value for key, value in known.items() if value})
        info['img_path'] = os.path.join(self.root, pair.file)
        info['image_size'] = tuple(self._sizes[row])
        info['labelled'] = bool(self.labelled[row])
        return info

    def prepare_data(self, idx: int) -> dict:
        """Cut one tile and run the pipeline on it."""
        info = self.get_data_info(idx)
        found = self.store.pixels(info['row'])
        info['img'] = cut_tile(found.image, *info['tile'])
        shape = info['img'].shape[:2]
        if found.mask is None:
            info['mask'] = np.full(shape, IGNORE_INDEX, dtype=np.uint8)
        else:
            info['mask'] = cut_tile(found.mask, *info['tile'])
        if self.with_instances:
            unknown = np.zeros(shape, dtype=np.uint16)
            info['instances'] = (
                unknown if found.instances is None else cut_tile(found.instances, *info['tile'])
            )
        return self._transformed(info, self.pipeline.transforms)

    def labelled_flags(self) -> np.ndarray:
        """Whether each sample is labelled, bool (N,)."""
        rows = [self.stored_info(index)['row'] for index in range(self.stored_length())]
        return self.labelled[np.array(rows, dtype=np.int64)]

    def summary(self) -> Dict[str, int]:
        """Numbers of images and samples, labelled and not."""
        flags = self.labelled_flags()
        return dict(
            labelled_images=int(self.labelled.sum()),
            unlabelled_images=int((~self.labelled).sum()),
            labelled_samples=int(flags.sum()),
            unlabelled_samples=int((~flags).sum()),
        )
