"""How fast slides become patches, compared with a plain loop over ``read_region``.

    python tools/benchmarks/slides.py                          # a phantom slide, made in a folder
    python tools/benchmarks/slides.py --slide scan.svs --mpp 0.5
    python tools/benchmarks/slides.py --processes 1 2 --patches 1024

Both cut the same tiles from one slide and write them as PNG, on one core, in turns. The plain loop
is the one of tutorials: ``read_region``, then ``convert``, ``resize`` and ``save`` of Pillow. Times
are processor times, so other work on the machine does not count.

``--processes`` compares numbers of processes instead. It shows patches per second of wall-clock and
of processor time, and for the largest process its total and its unshared memory (Linux). Tissue is
found before, in a separate process.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple

import cv2
import numpy as np

from cellgan_plugin.converters.common import ConverterError
from cellgan_plugin.converters.slides import SlideError, SlideReader, make_settings
from cellgan_plugin.converters.slides.cutting import CutTask, Place, close_slides, cut, make_tasks
from cellgan_plugin.converters.slides.plan import at_corner, grid, plan_tissue
from cellgan_plugin.converters.slides.settings import PatchSettings, field_of, scale_of
from cellgan_plugin.phantom import write_phantom_slides
from cellgan_plugin.processes import run_in_processes
from cellgan_plugin.runs.command_line import user_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--slide', metavar='FILE', help='a slide (default: a phantom)')
    add('--mpp', type=float, default=0.25, help='microns per pixel of the patches (default: 0.25)')
    add('--size', type=int, default=256, help='side of the patches in px (default: 256)')
    add('--patches', type=int, default=128, help='patches per turn (default: 128)')
    add('--turns', type=int, default=3, help='turns of each method; medians are shown (default: 3)')
    add(
        '--processes',
        type=int,
        nargs='+',
        metavar='N',
        help='numbers of processes to compare, e.g. 1 2 4',
    )
    add('--assume-mpp', type=float, help='microns per pixel of a slide that does not state them')
    add('--json', action='store_true', help='print one line of JSON')
    return parser.parse_args()


def by_plugin(path: Path, places: List[Place], settings: PatchSettings, field) -> None:
    """The converter's own way, in this process."""
    for task in make_tasks('slide', path, field, settings.area, 0.0, places):
        result = cut(task)
        if result.error:
            raise SlideError(result.error)
    close_slides()


def by_plain_loop(path: Path, places: List[Place], settings: PatchSettings, field) -> None:
    """One ``read_region`` at a time."""
    import openslide

    slide = openslide.OpenSlide(str(path))
    for place in places:
        corner = (round(place.x * field.downsample), round(place.y * field.downsample))
        image = slide.read_region(corner, field.level, field.read).convert('RGB')
        target = Path(place.out_dir, place.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.resize(settings.area[::-1]).save(target)
    slide.close()


class Used(NamedTuple):
    """What a task used: seconds of the processor, and MB of its process at the end."""

    seconds: float
    resident: float
    own: float


def _memory() -> List[float]:
    """MB of this process: the most so far, and what it shares with no other now."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    own = float('nan')
    rollup = Path('/proc/self/smaps_rollup')
    if rollup.is_file():
        lines = rollup.read_text(encoding='utf-8').splitlines()
        own = sum(int(line.split()[1]) for line in lines if line.startswith('Private_')) / 1e3
    return [resident, own]


def _cut_and_measure(task: CutTask) -> Used:
    start = time.process_time()
    result = cut(task)
    if result.error:
        raise SlideError(result.error)
    return Used(time.process_time() - start, *_memory())


def _find_tissue(task: 'tuple[Path, PatchSettings, object]') -> List[float]:
    """MB of a process after it looked for tissue, and before."""
    path, settings, field = task
    before = _memory()[0]
    with SlideReader(path) as reader:
        plan_tissue(reader, 'A', field, settings)
    return [before, _memory()[0]]


def _places(corners: List, field, out_dir: str) -> List[Place]:
    patches = [at_corner('A', corner, field, '') for corner in corners]
    return [Place(p.x, p.y, out_dir, f'{k}.png') for k, p in enumerate(patches)]


def by_processes(
    numbers: List[int], path: Path, folder: Path, settings: PatchSettings, field, corners: List
) -> Dict[str, object]:
    """Patches per second and memory of so many processes."""
    table: Dict[str, object] = {}
    # Two tasks: of one, run_in_processes would do it here.
    for before, after in run_in_processes(_find_tissue, [(path, settings, field)] * 2, 2):
        table['tissue'] = f'{after:.0f} MB, {before:.0f} before'
    for number in numbers:
        out_dir = str(folder / f'{number}-processes')
        places = _places(corners, field, out_dir)
        tasks = make_tasks('slide', path, field, settings.area, 0.0, places)
        start = time.perf_counter()
        used = list(run_in_processes(_cut_and_measure, tasks, number))
        wall = time.perf_counter() - start
        close_slides()
        table[f'{number} process{"es" if number > 1 else ""}'] = (
            f'{len(places) / wall:.0f} patches/s by the clock, '
            f'{len(places) / sum(u.seconds for u in used):.0f} a processor; '
            f'{max(u.resident for u in used):.0f} MB, '
            f'{max(u.own for u in used):.0f} of them its own'
        )
    return table


def measure(args: argparse.Namespace, path: Path, folder: Path) -> Dict[str, object]:
    """Patches per second of one core, both ways, in turns; or of several processes."""
    settings = make_settings(args.mpp, args.size, assume_mpp=args.assume_mpp)
    with SlideReader(path) as reader:
        info = reader.info
    field = field_of(info, scale_of(info, None, args.assume_mpp), settings)
    corners = np.concatenate(list(grid((0, 0, info.width, info.height), info, field, settings)))
    chosen = corners[: args.patches].tolist()
    what = {
        'reader': info.reader,
        'slide': f'{info.width}x{info.height}, {len(info.levels)} levels',
        'patches': f'{len(chosen)} of {args.size} px at {args.mpp:g} um',
    }
    if args.processes:
        return {**what, **by_processes(args.processes, path, folder, settings, field, chosen)}
    ways = {'plugin': by_plugin, 'plain loop': by_plain_loop}
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    for turn in range(args.turns):
        for name, way in ways.items():
            places = _places(chosen, field, str(folder / f'{name}-{turn}'))
            start = time.process_time()
            way(path, places, settings, field)
            seconds[name].append(time.process_time() - start)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {
        **what,
        **{f'{name}, patches/s': round(len(chosen) / value, 1) for name, value in medians.items()},
        'ratio': round(medians['plain loop'] / medians['plugin'], 2),
    }


def main() -> int:
    """Measure and print."""
    args = parse_args()
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(args.slide) if args.slide else None
        try:
            if path is None:
                write_phantom_slides(Path(folder) / 'phantom', 1, 3072)
                path = Path(folder) / 'phantom' / 'slides' / 'phantom_000.tiff'
            measured = measure(args, path, Path(folder))
        except (ConverterError, SlideError, ValueError) as error:
            print(f'slides.py: {error}', file=sys.stderr)
            return 2
    if args.json:
        print(json.dumps(measured))
    else:
        width = max(map(len, measured))
        print('\n'.join(f'{name:<{width}}  {value}' for name, value in measured.items()))
    return 0


if __name__ == '__main__':
    with user_errors():
        sys.exit(main())
