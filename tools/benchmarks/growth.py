"""How a training step grows with batch, image size and classes, and a data set with its files.

::

    python tools/benchmarks/growth.py --json growth.json --plot growth.png
    python tools/benchmarks/growth.py --only files --files 1000 10000 100000 1000000
    python tools/benchmarks/growth.py --config configs/cellgan_tct.py --only batch size   # on a GPU

Steps are taken on noise; on a CPU their seconds are CPU seconds. Their memory is what a step needs
at its peak beside weights and optimizer state. Files are hard links to a few phantoms, listed from
class folders and from a manifest, each in a fresh process; its memory is what listing adds at its
peak, and the peak of the whole process is printed below. Making a million links takes a minute.
Linux only.
"""

import argparse
import csv
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import MessageHub
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from timing import (
    Growth,
    GrowthPoint,
    GrowthReport,
    check_timing_arguments,
    cpu_seconds,
    describe_machine,
    peak_memory,
    synchronize,
    timing_parser,
)

from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.randomness import generator_for
from cellgan_plugin.runs.train import load_config

SERIES = ('batch', 'size', 'classes', 'files')
# Run in a fresh process: arguments are the data set's settings as JSON.
LIST_FILES = """
import json, sys, time
from pathlib import Path
from cellgan_plugin.datasets import CellPatchDataset, ResumableInfiniteSampler
from timing import peak_memory
found = {}
def list_them():
    start = time.perf_counter()
    images = CellPatchDataset(**json.loads(sys.argv[1]))
    next(iter(ResumableInfiniteSampler(images, seed=0)))
    found.update(seconds=time.perf_counter() - start, count=len(images))
found['bytes'] = peak_memory(list_them)
status = Path('/proc/self/status').read_text().split()
found['total'] = int(status[status.index('VmHWM:') + 1]) * 1024
print(json.dumps(found))
"""


def step_of(config: Config, batch: int, size: Optional[int], classes: Optional[int], device: str):
    """A training step of a model on noise, as a function, with its own optimizers.

    Args:
        config (Config): Of a CellGAN.
        batch (int): Images.
        size (int | None): Side of the images; None: the config's.
        classes (int | None): Number of classes; None: the config's.
        device (str): Where.
    """
    config = Config(config.to_dict())
    if size:
        config.model.generator.out_size = config.model.discriminator.in_size = size
    if classes:
        config.model.num_classes = classes
    model = MODELS.build(config.model).to(device)
    model.init_weights()
    model.train()
    wrappers = build_optim_wrapper(model, config.optim_wrapper)
    side = config.model.generator.out_size
    numbers = generator_for(0, 'growth')
    images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=numbers)
    labels = [DataSample().set_gt_label(i % model.num_classes) for i in range(batch)]
    MessageHub.get_current_instance().update_info('iter', 0)

    def step() -> None:
        model.train_step(dict(inputs=dict(img=images.clone()), data_samples=labels), wrappers)
        synchronize(device)

    return step


def measure_step(step: Callable[[], None], turns: int, x: float, device: str) -> GrowthPoint:
    """Median seconds and peak bytes of a step, after one that does not count.

    On a CPU these are CPU seconds, which hardly depend on what else the machine does.
    """
    clock = cpu_seconds if device == 'cpu' else time.perf_counter
    step()
    memory = peak_memory(step, device)
    seconds: List[float] = []
    for _ in range(turns):
        start = clock()
        step()
        seconds.append(clock() - start)
    return GrowthPoint(x, statistics.median(seconds), memory)


def grow_step(args: argparse.Namespace, variable: str, values: Sequence[int]) -> Growth:
    """Steps with one of batch, size and classes varied."""
    config = load_config(args.config)
    side, name = config.model.generator.out_size, Path(args.config).stem
    fixed = dict(batch=args.batch_size, size=None, classes=None)
    titles = dict(
        batch=f'step, {side} px', size=f'step, batch {args.size_batch}', classes=f'step, {side} px'
    )
    growth = Growth(
        f'{titles[variable]}, {name}',
        dict(batch='images in a batch', size='side, px', classes='classes')[variable],
    )
    for value in values:
        asked = {**fixed, variable: value}
        if variable == 'size':
            asked['batch'] = args.size_batch
        step = step_of(config, device=args.device, **asked)
        growth.points.append(measure_step(step, args.turns, value, args.device))
    return growth


def make_files(root: Path, count: int) -> None:
    """``count`` hard links to a few phantoms, as class folders with a manifest."""
    base = root.parent / 'phantoms'
    if not base.exists():
        write_phantom_dataset(base, size=64, counts=20, seed=0)
    sources = {label: sorted((base / label).glob('*.png')) for label in BETHESDA_CLASSES}
    root.mkdir()
    with open(root / 'manifest.csv', 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['file', 'label', 'split', 'group'])
        for index in range(count):
            label = BETHESDA_CLASSES[index % len(BETHESDA_CLASSES)]
            number = index // len(BETHESDA_CLASSES)
            folder = root / label / f'{number // 1000:04d}'
            if number % 1000 == 0:
                folder.mkdir(parents=True)
            # A file system may allow only some ten thousand links to a file.
            source = sources[label][number % len(sources[label])]
            os.link(source, folder / f'{number:07d}.png')
            split = 'test' if number % 10 == 9 else 'train'
            name = f'{label}/{folder.name}/{number:07d}.png'
            writer.writerow([name, label, split, f'slide{number // 1000}{split}'])


def list_files(settings: Dict[str, object]) -> Dict[str, float]:
    """Open a data set in a fresh process; seconds and bytes of doing so."""
    command = [sys.executable, '-c', LIST_FILES, json.dumps(settings)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def grow_files(args: argparse.Namespace, notes: List[str]) -> List[Growth]:
    """Data sets of more and more files: listed from folders and manifest, and checked."""
    folders = Growth('list class folders', 'files')
    manifest = Growth('list a manifest', 'files')
    checked = Growth("manifest, check='header'", 'files')
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        for count in args.files:
            root = Path(temporary, str(count))
            make_files(root, count)
            plain = dict(data_root=str(root), check='none')
            from_manifest = dict(plain, ann_file='manifest.csv', split='train')
            for growth, settings in (
                (folders, plain),
                (manifest, from_manifest),
                (checked, {**from_manifest, 'check': 'header'}),
            ):
                found = list_files(settings)
                growth.points.append(GrowthPoint(count, found['seconds'], found['bytes']))
                notes.append(
                    f'{growth.title}, {count} files: {found["seconds"]:.2f} s, whole process '
                    f'{found["total"] / 2**20:.0f} MiB at its peak'
                )
    return [folders, manifest, checked]


def run(args: argparse.Namespace) -> GrowthReport:
    """All series that are asked for."""
    init_default_scope('mmagic')
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # not a line per weight
    settings = dict(config=args.config, batch_size=args.batch_size, size_batch=args.size_batch)
    report = GrowthReport('growth', settings={**settings, 'turns': args.turns})
    report.machine = describe_machine(args.device, args.threads)
    values = dict(batch=args.batches, size=args.sizes, classes=args.classes)
    for variable in args.only:
        if variable == 'files':
            report.series += grow_files(args, report.notes)
        else:
            report.series.append(grow_step(args, variable, sorted(values[variable])))
    return report


def main() -> None:
    """Parse arguments, measure, write what was found."""
    parser = timing_parser(__doc__, turns=3, races=False)
    parser.add_argument('--config', default='configs/cellgan_phantom.py', help='of a CellGAN')
    parser.add_argument('--only', nargs='+', choices=SERIES, default=list(SERIES))
    parser.add_argument('--batch-size', type=int, default=8, help='where it is not varied')
    parser.add_argument('--size-batch', type=int, default=2, help='where the size is varied')
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 2, 4, 8, 16, 32])
    parser.add_argument('--sizes', type=int, nargs='+', default=[64, 128, 256, 512, 1024])
    parser.add_argument('--classes', type=int, nargs='+', default=[2, 5, 10, 30, 100])
    parser.add_argument('--files', type=int, nargs='+', default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument('--folder', help='where links are made; default: the temporary folder')
    args = parser.parse_args()
    args.files = sorted(args.files)
    check_timing_arguments(parser, args)
    report = run(args)
    print(report.to_text())
    if args.json:
        report.write_json(args.json)
    if args.plot:
        report.draw(args.plot)


if __name__ == '__main__':
    main()
