"""Time how image + mask tiles become batches: a file per tile, decoded per tile, or kept in RAM.

The reference is the loader that everybody writes first: decode image and mask with Pillow for every
tile, cut, flip, and make float32 in [-1, 1]. Ours cuts from images that were decoded once into RAM
and delivers uint8 (the device makes floats), or decodes for each tile when memory is short::

    python tools/benchmarks/tissue_tiles.py                                   # phantom glands
    python tools/benchmarks/tissue_tiles.py --data-root data/glas --tile 512  # own pairs

All deliver the same tiles, which is checked. Augmentation is flips and quarter turns; what colour
jitter adds is timed as a contestant of its own.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch
from PIL import Image
from timing import (
    Race,
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)

from cellgan_plugin.datasets import (
    RandomTissueFlip,
    SampleIndex,
    TissueMaskDataset,
    stack_tissue_batch,
)
from cellgan_plugin.datasets.tiling import cut_tile
from cellgan_plugin.phantom.glands import write_gland_phantom

PLAIN = 'plain: Pillow for every tile, floats'
FLIP = dict(type='RandomTissueFlip')
PACK = dict(type='PackTissueInputs')


def plain_batch(data: TissueMaskDataset, indices: List[SampleIndex]) -> Dict[str, torch.Tensor]:
    """A batch made tile by tile."""
    flip = RandomTissueFlip()
    images, masks = [], []
    for index in indices:
        info = data.get_data_info(index)
        y, x, height, width = info['tile']
        root, pair = Path(data.root), data.pairs[info['row']]
        image = np.asarray(Image.open(root / pair.file).convert('RGB'))
        mask = np.asarray(Image.open(root / pair.mask)) > 0
        tiles = dict(img=cut_tile(image, y, x, height, width))
        tiles['mask'] = cut_tile(mask.astype(np.uint8), y, x, height, width)
        turned = flip({**info, **tiles})
        image = torch.from_numpy(turned['img'].transpose(2, 0, 1).astype(np.float32))
        images.append(image / 127.5 - 1)
        masks.append(torch.from_numpy(turned['mask'].astype(np.int64)))
    return dict(img=torch.stack(images), mask=torch.stack(masks))


def run(args: argparse.Namespace, root: str) -> TimingReport:
    """One race over the ways."""
    options = dict(
        data_root=root, ann_file='manifest.csv', split='train', instances='binary', tile=args.tile,
        min_overlap=args.tile // 2, small_images='mirror', shared_groups='warn',
    )  # fmt: skip
    sets = {
        'decoded for every tile (cache=None)': TissueMaskDataset(**options, pipeline=[FLIP, PACK]),
        "decoded once (cache='ram')": TissueMaskDataset(
            **options, cache='ram', pipeline=[FLIP, PACK]
        ),
        "cache='ram' and colour jitter": TissueMaskDataset(
            **options, cache='ram', pipeline=[FLIP, dict(type='RandomTissueColor'), PACK]
        ),
    }
    data = next(iter(sets.values()))
    order = np.random.default_rng(0).permutation(len(data))[: args.batch_size * args.batches]
    samples = [SampleIndex(int(index), place) for place, index in enumerate(order)]
    batches = [
        samples[start : start + args.batch_size]
        for start in range(0, len(samples), args.batch_size)
    ]
    contestants = {PLAIN: lambda: [plain_batch(data, batch) for batch in batches]}
    for name, one in sets.items():
        contestants[name] = lambda one=one: [
            stack_tissue_batch([one[index] for index in batch])['inputs'] for batch in batches
        ]
    title = f'{len(samples)} tiles of {args.tile} px from {len(data.pairs)} images'
    found = race(contestants, args.turns, PLAIN, title, len(samples), 'tiles')
    check_same(found, list(sets)[:2])
    report = TimingReport('tissue tiles', machine=describe_machine('cpu', args.threads))
    report.races.append(found)
    return report


def check_same(found: Race, names: List[str]) -> None:
    """All ways but the jittered one deliver the same pixels."""
    for name in names:
        pairs = zip(found.measurements[PLAIN].value, found.measurements[name].value, strict=True)
        for plain, ours in pairs:
            image = ours['img'].float() / 127.5 - 1
            if not torch.allclose(plain['img'], image) or (plain['mask'] != ours['mask']).any():
                raise AssertionError(f'{name} delivers other tiles than the plain way')


def main() -> None:
    """Parse arguments, time, publish what was found."""
    parser = timing_parser(__doc__, turns=3)
    parser.add_argument('--data-root', help='folder with a manifest of pairs (default: phantoms)')
    parser.add_argument('--tile', type=int, default=512, help='px (default: 512)')
    parser.add_argument('--batch-size', type=int, default=4, help='tiles (default: 4)')
    parser.add_argument('--batches', type=int, default=10, help='per turn (default: 10)')
    args = parser.parse_args()
    check_timing_arguments(parser, args)
    if args.data_root:
        publish(run(args, args.data_root), args)
        return
    with tempfile.TemporaryDirectory() as root:
        # As large as GlaS images at their scale, with room for tiles of 512 px.
        write_gland_phantom(root, dict(train=4), size=(522, 775), progress=True)
        publish(run(args, root), args)


if __name__ == '__main__':
    main()
