"""Sizes of images by class, and how far they are scaled on their way to training.

Enlarging blurs. Where one class is enlarged more than another, the blur tells the class, and the
size of a nucleus, a criterion of its own, tells nothing any more.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, ManifestError, iter_manifest
from cellgan_plugin.datasets.problems import WARNING, Problem
from cellgan_plugin.text import in_columns

QUANTILES = {'min': 0, '5 %': 5, '25 %': 25, 'median': 50, '75 %': 75, '95 %': 95, 'max': 100}
# Median scales of two classes that differ by more than this are said; nuclei of one kind vary in
# diameter by about as much.
UNEVEN_SCALE = 1.25
_MIN_ENLARGED = 1.01  # rounding of sides is no enlargement


def manifest_factors(root: str, ann_file: str) -> Dict[str, float]:
    """Scale factors that a converter wrote down, by file (composed Unicode).

    Args:
        root (str): Folder of the images.
        ann_file (str): The manifest; for class folders the one that lies in ``root`` is read.

    Returns:
        dict[str, float]: Column ``factor`` where it holds a number above 0; empty where there is
        no manifest, none that can be read (which listing the files has already said), or none with
        the column.
    """
    path = Path(ann_file) if ann_file.lower().endswith('.csv') else Path(root) / MANIFEST_NAME
    factors: Dict[str, float] = {}
    if not path.is_file():
        return factors
    try:
        for _, row in iter_manifest(path, required=('file',)):
            factor = _number(row.get('factor', ''))
            if factor is not None:
                factors[nfc(row['file'])] = factor
    except ManifestError:
        return {}
    return factors


def _number(text: str) -> Optional[float]:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


class ScaleByClass:
    """Collects how far the images of each class are scaled, by the converter and the pipeline."""

    def __init__(self):
        self._factors: Dict[str, List[float]] = {}
        self._worst: Dict[str, Tuple[float, str]] = {}

    def add(self, name: str, path: str, factor: float) -> None:
        """Note one image of a class and its factor, above 1 where it is enlarged."""
        self._factors.setdefault(name, []).append(factor)
        if factor > self._worst.get(name, (0.0, ''))[0]:
            self._worst[name] = (factor, path)

    def medians(self) -> Dict[str, float]:
        """Median factor by class."""
        return {name: float(np.median(factors)) for name, factors in self._factors.items()}

    def problems(self, root: str) -> Iterator[Problem]:
        """What is enlarged, by class, and whether the classes differ."""
        for name, factors in self._factors.items():
            large = [factor for factor in factors if factor > _MIN_ENLARGED]
            if large:
                worst, path = self._worst[name]
                message = (
                    f'{len(large)} of {len(factors)} images are enlarged, {min(large):.1f}x to '
                    f'{worst:.1f}x, median of all {np.median(factors):.1f}x; the most: {path}'
                )
                yield Problem(WARNING, 'enlarged', name, message)
        medians = sorted(self.medians().items(), key=lambda item: -item[1])
        if len(medians) < 2 or medians[0][1] <= UNEVEN_SCALE * medians[-1][1]:
            return
        shown = ', '.join(f'{name} {factor:.1f}x' for name, factor in medians)
        tells = (
            'blur tells the class' if medians[0][1] > _MIN_ENLARGED else 'sharpness tells the class'
        )
        message = (
            f'median scale by class: {shown}: {tells}, and the size of nuclei no longer does. Keep '
            'one scale: folders.py --policy pad, or --mpp-in and --mpp-out'
        )
        yield Problem(WARNING, 'uneven scale', root, message)


def size_table(
    sizes: Counter, by_class: Mapping[str, Counter], scales: Mapping[str, float]
) -> List[str]:
    """Lines with the quantiles of width and height, each by itself, by class and of all images.

    One line where all images have one size; none without an image. The median scale of a class is
    shown where one is not 1.
    """
    if not sizes:
        return []
    if len(sizes) == 1 and all(scale == 1 for scale in scales.values()):
        (width, height), count = next(iter(sizes.items()))
        return [f'size (width x height): {width}x{height}, all {count} images']
    scaled = any(scale != 1 for scale in scales.values())
    table = [['size (width x height)', 'images', *QUANTILES, *(['scaled by'] if scaled else [])]]
    for name, counter in [*by_class.items(), ('all', sizes)]:
        if not counter:
            continue
        scale = [f'{scales[name]:.2f}x' if name in scales else ''] if scaled else []
        table.append([name, str(sum(counter.values())), *_quantiles(counter), *scale])
    return in_columns(table)


def _quantiles(counter: Counter) -> Sequence[str]:
    counts = list(counter.values())
    sides = np.array(list(counter))
    asked = list(QUANTILES.values())
    values = [np.percentile(np.repeat(sides[:, axis], counts), asked) for axis in (0, 1)]
    return [f'{width:.0f}x{height:.0f}' for width, height in zip(*values, strict=True)]
