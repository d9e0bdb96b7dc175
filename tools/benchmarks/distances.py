"""Time the distances of this package against the usual implementations, in one run.

Frechet distance for a small class (400 images per side), a large one (3,000) and a whole set
(10,000), 2048 features; kernel distance and precision/recall/density/coverage for the small class::

    python tools/benchmarks/distances.py --threads 2 --json distances.json --plot distances.png
    python tools/benchmarks/distances.py --images 100 1000 --features 256      # some seconds
    python tools/benchmarks/distances.py --images 20000 --turns 5

The references are the textbook formula (SciPy's matrix square root), torch-fidelity's kernel
distance and the authors' ``prdc`` package, if installed. The Frechet distances of torch-fidelity
and torchmetrics are timed too. ``--no-reference`` times only ours.
"""

import argparse
import contextlib
import importlib.util
import io
import warnings
from functools import partial
from typing import Callable, Dict, List, Tuple

import numpy as np
import torch
from scipy import linalg
from timing import (
    Race,
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)

from cellgan_plugin.evaluation.distances import (
    frechet_distance,
    kernel_distance,
    precision_recall_density_coverage,
)
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.runs.command_line import user_errors

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


def contests(with_reference: bool) -> Dict[str, Contestants]:
    """The contestants of each contest that are installed: the reference first, ours last."""
    fd: Contestants = {}
    kid: Contestants = {}
    neighbours: Contestants = {}
    if with_reference:
        fd['textbook (scipy sqrtm)'] = textbook_frechet
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


def differences(found: Race) -> str:
    """How far the others' values lie from ours."""
    ours = found.measurements['ours'].value
    others = [
        f'{name} {abs(one.value - ours) / abs(ours):.0e}'
        for name, one in found.measurements.items()
        if name != 'ours'
    ]
    return f'{found.title}: relative difference of the value to {", ".join(others)}'


def run(args: argparse.Namespace) -> TimingReport:
    """Race every contest at every size."""
    everyone = contests(args.reference)
    # The libraries start their threads and load their kernels outside the measurement.
    warm = make_features(64, 16)
    for contestants in everyone.values():
        for function in contestants.values():
            function(*warm)
    races: List[Race] = []
    for images in sorted(set(args.images)):
        real, fake = make_features(images, args.features)
        for metric, contestants in everyone.items():
            if metric != 'FD' and images != min(args.images):
                continue
            first = next(iter(contestants))
            races.append(
                race(
                    {name: partial(f, real, fake) for name, f in contestants.items()},
                    args.turns,
                    first if first != 'ours' else None,
                    f'{metric}, {images} images',
                    warm_up=0,
                )
            )
    settings = dict(images=args.images, features=args.features, turns=args.turns)
    notes = [differences(found) for found in races if len(found.measurements) > 1]
    machine = describe_machine('cpu', args.threads)
    title = f'distances of {args.features} features'
    return TimingReport(title, races, settings, machine, notes)


def main() -> None:
    """Parse arguments, run the contests, publish what they gave."""
    parser = timing_parser(__doc__, turns=3)
    parser.add_argument(
        '--images',
        type=int,
        nargs='+',
        default=[400, 3000, 10_000],
        metavar='N',
        help='images per side (real, generated)',
    )
    parser.add_argument('--features', type=int, default=2048, metavar='D', help='feature size')
    args = parser.parse_args()
    if min(args.images) <= 5 or args.features < 1:
        parser.error('--images must exceed 5, --features must be positive')
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    with user_errors():
        main()
