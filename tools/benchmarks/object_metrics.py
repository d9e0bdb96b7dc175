"""Time the GlaS challenge's object metrics beside a literal program, in one run.

The literal program compares whole masks object by object, as the challenge's own does: the largest
overlap by counting under each mask, and Hausdorff distances from nearest neighbours of all pixels.
Both see the same made-up glands and must give the same numbers; medians are compared::

    python tools/benchmarks/object_metrics.py
    python tools/benchmarks/object_metrics.py --glands 12 --size 200 260
"""

import argparse
from typing import Tuple

import cv2
import numpy as np
from scipy.spatial import cKDTree
from timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)

from cellgan_plugin.evaluation.segmentation import object_statistics
from cellgan_plugin.randomness import rng_for

LITERAL, OURS = 'literal: whole masks, object by object', 'object_statistics'
Three = Tuple[float, float, float]


def glands(height: int, width: int, count: int, seed: int) -> Tuple[np.ndarray, np.ndarray]:
    """A true map of ``count`` ellipses on a jittered grid, and a prediction that errs.

    Predicted outlines are moved and scaled; one gland in ten is missed, one in ten split, and one
    in ten predicted where there is none.
    """
    rng = rng_for(seed, 'glands')
    columns = max(1, round((count * width / height) ** 0.5))
    rows = -(-count // columns)
    step_y, step_x = height / rows, width / columns
    true = np.zeros((height, width), dtype=np.int32)
    pred = np.zeros((height, width), dtype=np.int32)

    def draw(on: np.ndarray, centre: np.ndarray, axes: np.ndarray, angle: float, name: int):
        points = [int(v) for v in np.rint(centre)], [max(1, int(v)) for v in np.rint(axes)]
        cv2.ellipse(on, points[0], points[1], angle, 0, 360, name, thickness=-1)

    name = 0
    for number in range(count):
        cell = np.array([number % columns + 0.5, number // columns + 0.5]) * [step_x, step_y]
        centre = cell + rng.uniform(-0.1, 0.1, 2) * [step_x, step_y]
        axes = rng.uniform(0.25, 0.45, 2) * [step_x, step_y]
        angle, fate = float(rng.uniform(0, 180)), number % 10
        draw(true, centre, axes, angle, number + 1)
        moved = centre + rng.normal(0, 3, 2)
        if fate == 0:
            continue
        name += 1
        scale = rng.uniform(0.8, 1.1)
        if fate == 2:  # predicted where there is none, small, in the corner of the cell
            draw(pred, cell - 0.47 * np.array([step_x, step_y]), axes / 5, 0.0, 100000 + number)
        draw(pred, moved, axes * scale, angle, name)
        if fate == 1:
            left = (pred == name) & (np.arange(width)[None] < centre[0])
            pred[left], name = name + 1, name + 1
    return pred, true


def _hausdorff(first: np.ndarray, second: np.ndarray) -> float:
    a, b = np.argwhere(first), np.argwhere(second)
    return max(cKDTree(b).query(a)[0].max(), cKDTree(a).query(b)[0].max())


def literal(pred: np.ndarray, true: np.ndarray) -> Three:
    """F1, Dice and Hausdorff distance, one object after another on whole masks."""
    ids = [[i for i in np.unique(m) if i] for m in (pred, true)]
    tp = 0
    dice, distance = [0.0, 0.0], [0.0, 0.0]
    for side, (own_map, other_map) in enumerate(((pred, true), (true, pred))):
        area = np.count_nonzero(own_map)
        for index in ids[side]:
            own = own_map == index
            found = other_map[own]
            found = found[found > 0]
            weight = own.sum() / area
            if found.size:
                other = other_map == np.bincount(found).argmax()
                shared = (own & other).sum()
                tp += side == 0 and shared / other.sum() > 0.5
                dice[side] += weight * 2 * shared / (own.sum() + other.sum())
                distance[side] += weight * _hausdorff(own, other)
            else:
                rest = [_hausdorff(own, other_map == i) for i in ids[1 - side]]
                distance[side] += weight * min(rest)
    f1 = 2 * tp / (len(ids[0]) + len(ids[1]))
    return f1, sum(dice) / 2, sum(distance) / 2


def ours(pred: np.ndarray, true: np.ndarray) -> Three:
    found = object_statistics(pred, true)
    return found.f1, found.dice, found.hausdorff


def run(args: argparse.Namespace) -> TimingReport:
    """One race per image."""
    cv2.setNumThreads(args.threads)
    report = TimingReport('object metrics', machine=describe_machine('cpu', args.threads))
    for image in range(args.images):
        pred, true = glands(*args.size, args.glands, args.seed + image)
        counts = [len(np.unique(labels)) - 1 for labels in (true, pred)]
        title = (
            f'{args.size[1]}x{args.size[0]} px, {counts[0]} true and {counts[1]} predicted objects'
        )
        contestants = {OURS: lambda p=pred, t=true: ours(p, t)}
        if args.reference:
            contestants[LITERAL] = lambda p=pred, t=true: literal(p, t)
        reference = LITERAL if args.reference else None
        found = race(contestants, args.turns, reference, title, 1, 'images')
        values = [measured.value for measured in found.measurements.values()]
        if not np.allclose(values[0], values[-1], rtol=1e-9):
            raise AssertionError(f'image {image}: the two disagree: {values}')
        report.races.append(found)
    return report


def main() -> None:
    """Parse arguments, time, publish what was found."""
    parser = timing_parser(__doc__, turns=3)
    parser.add_argument('--size', type=int, nargs=2, default=(522, 775), metavar=('H', 'W'))
    parser.add_argument('--glands', type=int, default=30)
    parser.add_argument('--images', type=int, default=3)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    main()
