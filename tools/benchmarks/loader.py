"""Time how batches reach the device: with a plain loader, and with the loaders of this package.

The reference is the usual loader: worker processes decode with Pillow and make float32 in [-1, 1],
which is sent to the device. Ours sends uint8 and makes floats on the device; decodes once into RAM;
or keeps the images on the device, where batches are gathered and flipped::

    python tools/benchmarks/loader.py --workers 2 --json loader.json --plot loader.png
    python tools/benchmarks/loader.py --config configs/cellgan_cric.py --workers 4    # own images

The tool checks that all loaders give the same batches. Then each loader feeds a simulated step that
takes ``--step-ms`` while this process waits, as for a GPU (30 ms: 100,000 steps in 50 minutes). The
tool prints the share of time that the step waits for data. The plain loader is also timed with
OpenCV's decoder in place of Pillow's, to show the gain of that choice alone.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence

import cv2
import numpy as np
import torch
from mmagic.registry import DATASETS
from mmengine.config import Config
from PIL import Image
from timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    synchronize,
    timing_parser,
)
from torch.utils.data import DataLoader, Dataset

from cellgan_plugin.datasets import (
    BETHESDA_CLASSES,
    CellPatchDataset,
    RandomCellFlip,
    ResumableInfiniteSampler,
    SampleIndex,
    stack_cell_batch,
)
from cellgan_plugin.models.data_preprocessor import CellDataPreprocessor
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.command_line import user_errors

PLAIN = 'plain: Pillow, floats from the workers'


class Feed(NamedTuple):
    """One way to get batches."""

    loader: Callable[[], Iterable]
    to_device: Callable[[Any], torch.Tensor]  # batch -> floats in [-1, 1] on the device


def with_pillow(path: str) -> np.ndarray:
    """RGB pixels as most loaders decode them."""
    return np.asarray(Image.open(path).convert('RGB'))


def with_opencv(path: str) -> np.ndarray:
    """RGB pixels by OpenCV, which tells neither half files nor 16-bit ones apart."""
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


class PlainDataset(Dataset):
    """Float images (3, H, W) in [-1, 1] and labels, decoded item by item.

    Args:
        images (CellPatchDataset): Which files there are.
        decode (Callable): Path -> uint8 RGB array.
    """

    def __init__(self, images: CellPatchDataset, decode: Callable[[str], np.ndarray]):
        self.images, self.decode, self.flip = images, decode, RandomCellFlip()
        self.fit = images.pipeline.transforms[0]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: SampleIndex):
        """One image and its label."""
        info = self.images.get_data_info(index)
        info['img'] = self.decode(info['img_path'])
        image = self.flip(self.fit(info))['img'].astype(np.float32) / 127.5 - 1
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), info['gt_label']


def open_dataset(args: argparse.Namespace, folder: Path, cache: str = '') -> CellPatchDataset:
    """The images of ``--config``, or phantoms, with one of the caches."""
    if args.config:
        settings = dict(Config.fromfile(args.config).train_dataloader.dataset)
    else:
        settings = dict(type='CellPatchDataset', data_root=str(folder), ann_file='manifest.csv')
    settings |= dict(
        cache=cache or None,
        check='none',
        pipeline=[
            dict(type='FitCellPatch', out_size=args.size),
            dict(type='RandomCellFlip'),
            dict(type='PackCellInputs'),
        ],
    )
    return DATASETS.build({'_scope_': 'mmagic', **settings})


def contestants(args: argparse.Namespace, folder: Path) -> Dict[str, Feed]:
    """What each way makes of the same stream of samples; caches are filled here."""
    files = open_dataset(args, folder)
    stream = ResumableInfiniteSampler(files, seed=0)
    common = dict(
        batch_size=args.batch_size,
        sampler=list(itertools.islice(stream, args.batches * args.batch_size)),
        pin_memory=args.device != 'cpu',
    )

    def plain(decode: Callable[[str], np.ndarray]) -> Feed:
        images = PlainDataset(files, decode)

        def to_device(batch) -> torch.Tensor:
            return [part.to(args.device, non_blocking=True) for part in batch][0]

        return Feed(lambda: DataLoader(images, num_workers=args.workers, **common), to_device)

    def ours(cache: str, workers: int, **options: Any) -> Feed:
        images = open_dataset(args, folder, cache)
        options = {**common, **options, 'num_workers': workers, 'collate_fn': stack_cell_batch}
        preprocess = CellDataPreprocessor().to(args.device)
        return Feed(
            lambda: DataLoader(images, **options), lambda batch: preprocess(batch)['inputs']['img']
        )

    found: Dict[str, Feed] = {}
    if args.reference:
        found[PLAIN] = plain(with_pillow)
        found['plain, decoded by OpenCV'] = plain(with_opencv)
    found['uint8 from files (cache=None)'] = ours('', args.workers)
    found["cache='ram', workers"] = ours('ram', args.workers)
    found["cache='ram', no worker"] = ours('ram', 0)
    found["cache='device'"] = ours('device', 0, pin_memory=False)
    return found


def use_up(feed: Feed, device: str) -> torch.Tensor:
    """Take all batches; returns one number per batch, to compare the contestants by.

    Of every 64th pixel, since a sum over all would take as long as the making of the batch.
    """
    batches = map(feed.to_device, feed.loader())
    sums = [batch[:, :, ::8, ::8].double().mean() for batch in batches]
    synchronize(device)
    return torch.stack(sums).cpu()


def waiting_share(feed: Feed, step_seconds: float, skip: int = 3) -> float:
    """Share of the time that a step of a given length waits for its batch, 0 to 1.

    Args:
        feed (Feed): Gives the batches.
        step_seconds (float): How long the step takes, during which this process sleeps.
        skip (int): First batches that do not count: workers start. Defaults to 3.
    """
    waits: List[float] = []
    start = time.perf_counter()
    for batch in feed.loader():
        waits.append(time.perf_counter() - start)
        end = time.perf_counter() + step_seconds
        feed.to_device(batch)  # part of the step, as in training
        time.sleep(max(0.0, end - time.perf_counter()))
        start = time.perf_counter()
    waited = sum(waits[skip:]) / len(waits[skip:])
    return waited / (waited + step_seconds)


def run(args: argparse.Namespace, folder: Path) -> TimingReport:
    """The race, the comparison of what came out, and the waiting."""
    feeds = contestants(args, folder)
    images = args.batches * args.batch_size
    found = race(
        {name: lambda f=feed: use_up(f, args.device) for name, feed in feeds.items()},
        args.turns,
        PLAIN if args.reference else None,
        f'{args.size} px, batches of {args.batch_size}, {args.workers} workers',
        images,
        'images',
        args.device,
    )
    values: Sequence[torch.Tensor] = [m.value for m in found.measurements.values()]
    worst = max(float((value - values[0]).abs().max()) for value in values)
    shares = {name: waiting_share(feed, args.step_ms / 1e3) for name, feed in feeds.items()}
    notes = [f'mean of the pixels of a batch (in [-1, 1]) differs by {worst:.1e} at most']
    notes += [f'share of a {args.step_ms:g} ms step spent waiting for data:']
    notes += [f'  {name}: {100 * share:.1f} %' for name, share in shares.items()]
    names = ('config', 'size', 'batch_size', 'batches', 'workers', 'step_ms')
    settings = {name: getattr(args, name) for name in names}
    machine = describe_machine(args.device, args.threads)
    return TimingReport('loader', [found], settings, machine, notes, dict(waiting=shares))


def main() -> None:
    """Parse arguments, race, publish what was found."""
    parser = timing_parser(__doc__)
    parser.add_argument('--config', help='config whose training images to load (default: phantoms)')
    parser.add_argument(
        '--size', type=int, default=256, help='side of the phantoms in px (default: %(default)s)'
    )
    parser.add_argument(
        '--images', type=int, default=200, help='number of phantoms (default: %(default)s)'
    )
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument(
        '--batches', type=int, default=20, help='number per turn (default: %(default)s)'
    )
    parser.add_argument(
        '--workers', type=int, default=2, help='loader processes (default: %(default)s)'
    )
    parser.add_argument(
        '--step-ms',
        type=float,
        default=30,
        help='length of a simulated step in ms (default: %(default)s)',
    )
    args = parser.parse_args()
    if min(args.size, args.images, args.batch_size) < 1 or args.batches < 4 or args.workers < 0:
        parser.error('sizes must be positive, --batches at least 4')
    check_timing_arguments(parser, args)
    with tempfile.TemporaryDirectory() as temporary:
        if not args.config:
            each = -(-args.images // len(BETHESDA_CLASSES))
            write_phantom_dataset(Path(temporary), size=args.size, counts=each, seed=0)
        publish(run(args, Path(temporary)), args)


if __name__ == '__main__':
    with user_errors():
        main()
