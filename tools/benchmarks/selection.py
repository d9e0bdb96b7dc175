"""Time the scores of selection beside K full passes over the files, in one run.

The reference does what the algorithm says: for each of the K passes it decodes every image and runs
the whole classifier with dropout before the last block, in batches. Ours decodes once and repeats
only the last block. The contestants take turns, so that a busy minute of the machine falls on both;
medians are compared::

    python tools/benchmarks/selection.py --threads 2 --out selection
    python tools/benchmarks/selection.py --config configs/classifiers/resnet18_phantom.py --size 64
    python tools/benchmarks/selection.py --images 20000 --turns 1 --threads 16         # on a GPU

Weights are random and images are phantoms; the time does not depend on them. ``--out NAME`` writes
``NAME.json`` and ``NAME.png``.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

# Thread counts must be set before the linear algebra libraries are loaded.
_threads = argparse.ArgumentParser(add_help=False)
_threads.add_argument('--threads', type=int, default=2, help='CPU threads of either contestant')
THREADS = _threads.parse_known_args()[0].threads
for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ[_name] = str(THREADS)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

from cellgan_plugin.apis.selection_folder import ImageTree, read_tree  # noqa: E402
from cellgan_plugin.datasets import BETHESDA_CLASSES  # noqa: E402
from cellgan_plugin.datasets.phantom import write_phantom_dataset  # noqa: E402
from cellgan_plugin.files import atomic_write  # noqa: E402
from cellgan_plugin.selection import (  # noqa: E402
    Centroids,
    McDropoutClassifier,
    compute_centroids,
    score_candidates,
)
from cellgan_plugin.selection.scores import CandidateScores, entropy  # noqa: E402
from cellgan_plugin.selection.stream import ImageStream  # noqa: E402


def random_classifier(config: str, folder: Path, device: str) -> McDropoutClassifier:
    """The network of a config with random weights."""
    from mmpretrain.registry import MODELS

    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=network.state_dict()), folder / 'random.pth')
    return McDropoutClassifier(config, folder / 'random.pth').to(device)


def pool_of(folder: Path, images: int, size: int) -> ImageTree:
    """A list of ``images`` files: phantoms, each named as often as needed under its own key."""
    write_phantom_dataset(folder, size=size, counts=min(20, -(-images // 5)), seed=0)
    tree = read_tree(folder, BETHESDA_CLASSES, 'candidates')
    times = -(-images // len(tree.files))
    # './' repeated: other names (and dropout masks) of the same file.
    files = [('./' * turn) + file for turn in range(times) for file in tree.files][:images]
    return ImageTree(tree.root, files, np.tile(tree.labels, times)[:images], {})


def reference(
    network: McDropoutClassifier,
    centroids: Centroids,
    stream: ImageStream,
    labels: np.ndarray,
    passes: int,
) -> Tuple[np.ndarray, np.ndarray]:
    """Entropy and distance by K full passes; (n,) each."""
    entropies, distances = np.zeros(len(stream)), np.zeros(len(stream))
    own = torch.from_numpy(labels)
    for number in range(passes):
        for rows, images in stream:
            trunk = network.trunk(images)
            mask = network.masks(trunk, 0, number, stream.files[rows])
            probabilities, last = network.top(trunk, mask)
            terms = [centroids.distances(i, m) for i, m in enumerate([*trunk.maps, last])]
            index = own[rows].to(terms[0].device)[:, None]
            distance = sum(terms).gather(1, index)[:, 0]
            entropies[rows] += entropy(probabilities).cpu().numpy() / passes
            distances[rows] += distance.double().cpu().numpy() / passes
    return entropies, distances


def draw(path: Path, results: Sequence[Dict[str, Any]], title: str) -> None:
    """Images per second of either contestant as bars with their range."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 2.2), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, result in enumerate(results):
        low, middle, high = result['slowest'], result['images_per_second'], result['fastest']
        axes.barh(row, middle, color=('#b0b0b0', '#3b75af')[row])
        axes.errorbar(middle, row, xerr=[[middle - low], [high - middle]], color='black', capsize=3)
        axes.text(high, row, f'  {middle:.1f}', va='center')
    axes.set_yticks(range(len(results)), [result['name'] for result in results])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.2 * max(result['fastest'] for result in results))
    axes.set_xlabel('candidates per second (median, range)')
    axes.set_title(title, fontsize=10)
    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, format='png')


def show(report: Dict[str, Any]) -> None:
    """Print the table."""
    print(f'{"":16s} {"images/s":>9s} {"(slowest - fastest)":>21s}')
    for row in report['results']:
        print(
            f'{row["name"]:16s} {row["images_per_second"]:9.2f} '
            f'({row["slowest"]:8.2f} - {row["fastest"]:8.2f})'
        )
    print(
        f'ratio {report["ratio"]:.2f} ({report["ratio_lowest"]:.2f} - '
        f'{report["ratio_highest"]:.2f}), median of the turns; scores differ by '
        f'{report["greatest_difference"]:.1e} at most; load average {report["load_average"]}'
    )


def main() -> None:
    """Parse arguments, race, print the table, write it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        parents=[_threads],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = 'configs/classifiers/benchmark_resnet34.py'
    parser.add_argument('--config', default=default, help='default: %(default)s')
    parser.add_argument('--size', type=int, default=256, help='of the files; default: %(default)s')
    parser.add_argument('--images', type=int, default=40, help='per turn; default: %(default)s')
    parser.add_argument('--passes', type=int, default=5, help='K; default: %(default)s')
    parser.add_argument('--turns', type=int, default=3, help='of each; default: %(default)s')
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--device', help='default: a GPU where there is one')
    parser.add_argument('--target', type=float, help='fail (status 1) below this ratio')
    parser.add_argument('--out', metavar='NAME', help='write NAME.json and NAME.png')
    args = parser.parse_args()
    if min(args.images, args.passes, args.turns, args.threads) < 1:
        parser.error('--images, --passes, --turns and --threads must be positive')
    torch.set_num_threads(args.threads)
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with tempfile.TemporaryDirectory() as temporary:
        network = random_classifier(args.config, Path(temporary), device)
        pool = pool_of(Path(temporary, 'pool'), args.images, args.size)
        size = network.input_size
        stream = ImageStream(pool.reader, pool.files, size, args.batch_size, args.threads)
        some = slice(None, None, max(1, args.images // 50))  # of every class
        real = ImageStream(pool.reader, pool.files[some], size, args.batch_size, args.threads)
        centroids = compute_centroids(network, real, pool.labels[some])  # warms up, too

        def ours() -> Tuple[np.ndarray, np.ndarray]:
            found: CandidateScores = score_candidates(
                network, lambda: centroids, stream, pool.labels, args.passes
            )
            return found.entropy, found.distance

        contestants = {
            f'{args.passes} full passes': lambda: reference(
                network, centroids, stream, pool.labels, args.passes
            ),
            'select': ours,
        }
        seconds: Dict[str, List[float]] = {name: [] for name in contestants}
        scores: Dict[str, Tuple[np.ndarray, np.ndarray]] = {}
        for turn in range(args.turns):
            for name, function in contestants.items():
                if sys.stderr.isatty():
                    print(f'\rturn {turn + 1}/{args.turns}, {name:16s}', end='', file=sys.stderr)
                start = time.perf_counter()
                scores[name] = function()
                seconds[name].append(time.perf_counter() - start)
    slow, fast = scores.values()
    results = [
        dict(
            name=name,
            images_per_second=args.images / statistics.median(times),
            slowest=args.images / max(times),
            fastest=args.images / min(times),
        )
        for name, times in seconds.items()
    ]
    pairs = [a / b for a, b in zip(*seconds.values(), strict=True)]
    report = dict(
        config=args.config,
        size=args.size,
        images=args.images,
        passes=args.passes,
        turns=args.turns,
        threads=args.threads,
        batch_size=args.batch_size,
        device=device,
        results=results,
        ratio=statistics.median(pairs),
        ratio_lowest=min(pairs),
        ratio_highest=max(pairs),
        greatest_difference=float(np.abs(np.array(slow) - np.array(fast)).max()),
        processor=platform.processor() or platform.machine(),
        gpu=torch.cuda.get_device_name() if device == 'cuda' else None,
        torch=torch.__version__,
        load_average=os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
    )
    show(report)
    if args.out:
        out = Path(args.out)
        with atomic_write(out.with_suffix('.json'), 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=2)
            file.write('\n')
        where = report['gpu'] or f'{args.threads} CPU threads'
        title = f'{Path(args.config).stem}, {args.size} px, {where}: {report["ratio"]:.1f} times'
        draw(out.with_suffix('.png'), results, title)
    if args.target and report['ratio'] < args.target:
        raise SystemExit(f'{report["ratio"]:.1f} times, below the target of {args.target}')


if __name__ == '__main__':
    main()
