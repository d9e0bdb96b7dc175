"""Time the GlaS challenge's object metrics beside a literal program, in one run.

The literal program compares whole masks object by object, as the challenge's own does: the largest
overlap by counting under each mask, and Hausdorff distances from nearest neighbours of all pixels.
Both see the same made-up glands and must give the same numbers; medians are compared::

    python tools/benchmarks/object_metrics.py --out object_metrics.jsonl
    python tools/benchmarks/object_metrics.py --glands 12 --size 200 260 --repeats 3
"""

import argparse
import json
import platform
import statistics
import sys
import time
from typing import Callable, Dict, List, Tuple

import cv2
import numpy as np
from scipy.spatial import cKDTree

from cellgan_plugin.evaluation.segmentation import object_statistics
from cellgan_plugin.files import atomic_write
from cellgan_plugin.randomness import rng_for

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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, nargs=2, default=(522, 775), metavar=('H', 'W'))
    parser.add_argument('--glands', type=int, default=30)
    parser.add_argument('--images', type=int, default=3)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', help='write JSON lines there')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    contestants: Dict[str, Callable[[np.ndarray, np.ndarray], Three]] = dict(
        ours=ours, literal=literal
    )
    lines: List[dict] = []
    for image in range(args.images):
        pred, true = glands(*args.size, args.glands, args.seed + image)
        seconds: Dict[str, List[float]] = {name: [] for name in contestants}
        values: Dict[str, Three] = {}
        for _ in range(args.repeats):  # taking turns: a busy minute falls on both
            for name, compute in contestants.items():
                start = time.perf_counter()
                values[name] = compute(pred, true)
                seconds[name].append(time.perf_counter() - start)
        if not np.allclose(values['ours'], values['literal'], rtol=1e-9):
            print(f'image {image}: the two disagree: {values}', file=sys.stderr)
            return 1
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        line = dict(
            image=image,
            size=list(args.size),
            true_objects=int(len(np.unique(true)) - 1),
            predicted_objects=int(len(np.unique(pred)) - 1),
            f1=values['ours'][0],
            dice=values['ours'][1],
            hausdorff=values['ours'][2],
            seconds=medians,
            ratio=medians['literal'] / medians['ours'],
            machine=platform.processor() or platform.machine(),
        )
        lines.append(line)
        print(
            f'{args.size[1]}x{args.size[0]}, {line["true_objects"]} true and '
            f'{line["predicted_objects"]} predicted objects: {medians["ours"]:.3f} s, literal '
            f'{medians["literal"]:.3f} s, ratio {line["ratio"]:.1f}'
        )
    if args.out:
        with atomic_write(args.out, 'w', encoding='utf-8') as file:
            file.writelines(json.dumps(line) + '\n' for line in lines)
    return 0


if __name__ == '__main__':
    sys.exit(main())
