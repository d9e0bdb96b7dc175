"""Time the distances of this package beside the usual implementations, in one run.

Frechet distance of a small class (400 images a side) and of a large set (10,000), 2048 features;
kernel distance and precision/recall/density/coverage of the small class. The contestants take
turns, so that a busy minute of the machine falls on all of them; medians are compared::

    python tools/benchmarks/distances.py --threads 2 --out distances.jsonl
    python tools/benchmarks/distances.py --quick            # small sizes, some seconds
    python tools/benchmarks/distances.py --large 20000 --repeats 5

``torch-fidelity``, ``torchmetrics`` and ``prdc`` take part where they are installed.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import platform
import statistics
import sys
import time
import warnings
from typing import Callable, Dict, List, Tuple

# Thread counts must be set before the linear algebra libraries are loaded.
_threads = argparse.ArgumentParser(add_help=False)
_threads.add_argument('--threads', type=int, default=2, help='CPU threads of every library')
THREADS = _threads.parse_known_args()[0].threads
for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ[_name] = str(THREADS)

import numpy as np  # noqa: E402
import scipy  # noqa: E402
import torch  # noqa: E402
from scipy import linalg  # noqa: E402

from cellgan_plugin.evaluation.distances import (  # noqa: E402
    frechet_distance,
    kernel_distance,
    precision_recall_density_coverage,
)
from cellgan_plugin.files import atomic_write  # noqa: E402
from cellgan_plugin.randomness import rng_for  # noqa: E402

Contestants = Dict[str, Callable[[np.ndarray, np.ndarray], float]]


def textbook_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """The formula as printed: covariances, their product, its square root by SciPy."""
    cov1, cov2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    # Newer SciPy has dropped `disp`; by default every version returns the root alone, and some
    # print a note about singular matrices.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        root = linalg.sqrtm(cov1 @ cov2)
    shift = real.mean(0) - fake.mean(0)
    return float(shift @ shift + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root).real)


def fidelity_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """``torch_fidelity``: eigenvalues of the covariances' product, by numpy."""
    from torch_fidelity import metric_fid

    stats = [metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    return metric_fid.fid_statistics_to_metric(*stats, False)['frechet_inception_distance']


class _Features(torch.nn.Module):
    """Stands for the extractor: its input already is the features."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.num_features = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def torchmetrics_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """``torchmetrics``: eigenvalues of the covariances' product, by torch."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Features(real.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return float(metric.compute())


def fidelity_kernel(real: np.ndarray, fake: np.ndarray) -> float:
    """``torch_fidelity`` with one subset that is the whole set: all pairs."""
    from torch_fidelity import metric_kid

    result = metric_kid.kid_features_to_metric(
        torch.from_numpy(real),
        torch.from_numpy(fake),
        kid_subsets=1,
        kid_subset_size=len(real),
        verbose=False,
    )
    return result['kernel_inception_distance_mean']


def prdc_density(real: np.ndarray, fake: np.ndarray) -> float:
    """The authors' ``prdc`` package; the density stands for the four numbers."""
    import prdc

    with contextlib.redirect_stdout(io.StringIO()):
        return float(prdc.compute_prdc(real, fake, nearest_k=5)['density'])


def contests() -> Dict[str, Contestants]:
    """The contestants of each contest that are installed; ours is the last."""
    fd: Contestants = {'textbook (scipy sqrtm)': textbook_frechet}
    kid: Contestants = {}
    neighbours: Contestants = {}
    if importlib.util.find_spec('torch_fidelity'):
        fd['torch-fidelity'] = fidelity_frechet
        kid['torch-fidelity'] = fidelity_kernel
    if importlib.util.find_spec('torchmetrics'):
        fd['torchmetrics'] = torchmetrics_frechet
    if importlib.util.find_spec('prdc'):
        neighbours['prdc'] = prdc_density
    fd['ours'] = frechet_distance
    kid['ours'] = lambda real, fake: kernel_distance(real, fake).value
    neighbours['ours'] = lambda real, fake: precision_recall_density_coverage(real, fake).density
    return {'FD': fd, 'KID': kid, 'PRDC': neighbours}


def make_features(images: int, size: int) -> Tuple[np.ndarray, np.ndarray]:
    """Two sets of correlated features with variances 1/k, a shift and a change of scale."""
    rng = rng_for(0, 'benchmark/distances', images, size)
    mixing = np.linalg.qr(rng.standard_normal((size, size)))[0]
    mixing *= np.arange(1, size + 1)[:, None] ** -0.5
    real = rng.standard_normal((images, size)) @ mixing
    return real, 1.2 * (rng.standard_normal((images, size)) @ mixing) + 0.02


def race(
    contestants: Contestants, real: np.ndarray, fake: np.ndarray, repeats: int, what: str
) -> List[dict]:
    """Time all contestants by turns."""
    seconds: Dict[str, List[float]] = {name: [] for name in contestants}
    values = {}
    for turn in range(repeats):
        for name, function in contestants.items():
            if sys.stderr.isatty():
                print(f'\r{what}: turn {turn + 1}/{repeats}, {name:24s}', end='', file=sys.stderr)
            start = time.perf_counter()
            values[name] = function(real, fake)
            seconds[name].append(time.perf_counter() - start)
    if sys.stderr.isatty():
        print('\r' + ' ' * 78 + '\r', end='', file=sys.stderr)
    ours = statistics.median(seconds['ours'])
    return [
        {
            'name': name,
            'median_s': statistics.median(times),
            'min_s': min(times),
            'max_s': max(times),
            'times_ours': statistics.median(times) / ours,
            'value': values[name],
            'relative_difference': abs(values[name] - values['ours']) / abs(values['ours']),
        }
        for name, times in seconds.items()
    ]


def main() -> None:
    """Parse arguments, run the contests, print the table, write the lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], parents=[_threads])
    parser.add_argument('--small', type=int, metavar='N', help='images a side of a small class')
    parser.add_argument('--large', type=int, metavar='N', help='images a side of the large set')
    parser.add_argument('--features', type=int, metavar='D', help='feature size')
    parser.add_argument('--repeats', type=int, default=3, help='turns of each contestant')
    parser.add_argument('--quick', action='store_true', help='100 and 1000 images, 256 features')
    parser.add_argument('--out', metavar='FILE', help='also write one JSON line per measurement')
    args = parser.parse_args()
    default = (100, 1000, 256) if args.quick else (400, 10_000, 2048)
    given = (args.small, args.large, args.features)
    small, large, size = (b if a is None else a for a, b in zip(given, default, strict=True))
    if min(small, large) <= 5 or size < 1 or args.repeats < 1 or args.threads < 1:
        parser.error('--small and --large must exceed 5; the other numbers must be positive')
    torch.set_num_threads(args.threads)
    machine = {
        'threads': args.threads,
        'processor': platform.machine(),
        'numpy': np.__version__,
        'scipy': scipy.__version__,
        'torch': torch.__version__,
    }
    everyone = contests()
    # The libraries start their threads and load their kernels outside the measurement.
    warm = make_features(64, 16)
    for contestants in everyone.values():
        for function in contestants.values():
            function(*warm)

    lines = []
    print(
        f'{"distance":8s} {"images":>7s} {"features":>8s}  {"implementation":24s} {"median s":>9s} '
        f'{"(min - max)":>19s} {"x ours":>7s} {"rel. diff.":>10s}'
    )
    for images in dict.fromkeys((small, large)):
        real, fake = make_features(images, size)
        for metric, contestants in everyone.items():
            if metric != 'FD' and images != small:
                continue
            what = f'{metric}, {images} images'
            for row in race(contestants, real, fake, args.repeats, what):
                lines.append({'metric': metric, 'images': images, 'features': size, **row})
                lines[-1].update(repeats=args.repeats, **machine)
                print(
                    f'{metric:8s} {images:7d} {size:8d}  {row["name"]:24s} {row["median_s"]:9.3f} '
                    f'({row["min_s"]:8.3f} -{row["max_s"]:8.3f}) {row["times_ours"]:7.1f} '
                    f'{row["relative_difference"]:10.1e}',
                    flush=True,
                )
    if args.out:
        with atomic_write(args.out, 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(line) + '\n' for line in lines)


if __name__ == '__main__':
    main()
