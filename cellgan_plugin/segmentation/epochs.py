"""Epochs of one length for every method and share of labels of a segmentation benchmark."""

from typing import Any, Dict, Iterable, Mapping, Tuple

from cellgan_plugin.datasets import TissueMaskDataset
from cellgan_plugin.segmentation.plan import SegmenterRun


def share_epochs(cells: Iterable[SegmenterRun]) -> None:
    """Let an epoch be as many tiles for every method and share of labels: those of all images.

    By the length of its own training set, a method that sees the labelled 20 % alone would get a
    fifth of the updates of one that sees the others, too, and a transductive one more than either.
    Schedules that count in steps are as long as they say, and stay as they are.

    Args:
        cells (Iterable[SegmenterRun]): Their ``train_cfg.epoch_images`` is set.

    Raises:
        DatasetError: An image or mask cannot be used.
    """
    counted: Dict[Tuple[str, ...], int] = {}
    for cell in cells:
        config = cell.config
        loop = config.get('train_cfg') or {}
        scales = config.model.get('scales') or ()
        if str(loop.get('type')).split('.')[-1] != 'ScaleTrainLoop':
            continue
        if all(scale.get('epochs') is None for scale in scales):
            continue
        options = dict(config.train_dataloader.dataset)
        keys = ('data_root', 'ann_file', 'split', 'tile', 'min_overlap', 'small_images')
        key = tuple(str(options.get(name)) for name in keys)
        if key not in counted:
            counted[key] = _tiles(options)
        loop.epoch_images = counted[key]


def _tiles(options: Mapping[str, Any]) -> int:
    """Tiles of all training images of a run, labelled or not; headers are read."""
    own = {name: value for name, value in options.items() if name != 'type'}
    own.update(
        labelled_ratio=None,
        labelled_only=False,
        transductive=(),
        pipeline=(),
        cache=None,
        check='none',
    )
    return len(TissueMaskDataset(**own))
