"""Print how many phantom patches one CPU core makes per second.

Times :func:`generate_phantom` with all its truth, without PNG encoding and disk, in seconds of
CPU time, so that other work on the machine does not count::

    OMP_NUM_THREADS=1 python tools/benchmarks/phantom.py --sizes 64 128 256
"""

import argparse
import time

import cv2

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES
from cellgan_plugin.datasets.phantom import generate_phantom


def main() -> None:
    """Parse arguments, time, print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[64, 128, 256], metavar='PX')
    parser.add_argument('--per-class', type=int, default=24, help='patches per class and size')
    parser.add_argument('--rounds', type=int, default=3, help='the best of so many is shown')
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for size in args.sizes:
        generate_phantom('NILM', size)  # textures of this size are made once
        parts = []
        for label in BETHESDA_CLASSES:
            rounds = []
            for _ in range(args.rounds):
                start = time.process_time()
                for index in range(args.per_class):
                    generate_phantom(label, size, index=index)
                rounds.append(time.process_time() - start)
            parts.append(min(rounds))
        rate = args.per_class * len(parts) / sum(parts)
        each = ', '.join(
            f'{label} {args.per_class / part:.0f}'
            for label, part in zip(BETHESDA_CLASSES, parts, strict=True)
        )
        print(f'{size:4d} px: {rate:6.1f} images per CPU second ({each})')


if __name__ == '__main__':
    main()
