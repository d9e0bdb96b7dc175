"""Time the scores of selection against K full passes over the files, in one run.

The reference follows the algorithm literally: for each of the K passes it decodes every image and
runs the whole classifier with dropout before the last block, in batches. Ours decodes once and
repeats only the last block::

    python tools/benchmarks/selection.py --threads 2 --json selection.json --plot selection.png
    python tools/benchmarks/selection.py --config configs/classifiers/resnet18_phantom.py --size 64
    python tools/benchmarks/selection.py --images 20000 --turns 1 --threads 16         # on a GPU

Weights are random and images are phantoms; the time does not depend on them.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)

from cellgan_plugin.datasets import BETHESDA_CLASSES
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.command_line import user_errors
from cellgan_plugin.selection import (
    Centroids,
    McDropoutClassifier,
    compute_centroids,
    score_candidates,
)
from cellgan_plugin.selection.image_tree import ImageTree, read_tree
from cellgan_plugin.selection.scores import CandidateScores, entropy
from cellgan_plugin.selection.stream import ImageStream


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


def run(args: argparse.Namespace) -> TimingReport:
    """Race both over one pool."""
    with tempfile.TemporaryDirectory() as temporary:
        network = random_classifier(args.config, Path(temporary), args.device)
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

        plain = f'{args.passes} full passes'
        contestants = {'select': ours}
        if args.reference:
            contestants = {
                plain: lambda: reference(network, centroids, stream, pool.labels, args.passes),
                **contestants,
            }
        found = race(
            contestants,
            args.turns,
            plain if args.reference else None,
            f'selection, {Path(args.config).stem}, {args.size} px',
            args.images,
            'candidates',
            args.device,
            warm_up=0,
        )
    notes = []
    if args.reference:
        slow, fast = (np.array(measured.value) for measured in found.measurements.values())
        notes.append(f'scores differ by {np.abs(slow - fast).max():.1e} at most')
    names = ('config', 'size', 'images', 'passes', 'batch_size')
    settings = {name: getattr(args, name) for name in names}
    machine = describe_machine(args.device, args.threads)
    return TimingReport(f'selection, K = {args.passes}', [found], settings, machine, notes)


def main() -> None:
    """Parse arguments, race, publish what was found."""
    parser = timing_parser(__doc__, turns=3)
    default = 'configs/classifiers/benchmark_resnet34.py'
    parser.add_argument('--config', default=default, help='config (default: %(default)s)')
    parser.add_argument(
        '--size', type=int, default=256, help='side of the image files in px (default: %(default)s)'
    )
    parser.add_argument(
        '--images', type=int, default=40, help='number per turn (default: %(default)s)'
    )
    parser.add_argument(
        '--passes', type=int, default=5, help='passes with dropout, K (default: %(default)s)'
    )
    parser.add_argument('--batch-size', type=int, default=32)
    args = parser.parse_args()
    if min(args.images, args.passes) < 1:
        parser.error('--images and --passes must be positive')
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    with user_errors():
        main()
