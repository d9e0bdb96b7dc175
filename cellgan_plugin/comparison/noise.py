"""Which differences of a comparison exceed its noise, and which models make grey frames."""

import math
import statistics
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.visualization.report_tables import Column

_LEVEL = 0.05  # of the test between the best row and each other one
# Of the contrast and the variety of real images, below which a model makes grey frames: a tenth of
# a cell's stain is not seen on a screen.
_GREY = 0.25


@dataclass(frozen=True)
class Noise:
    """How far a number may be from what another run of the same would give.

    Attributes:
        error (float): Standard error of the number.
        freedom (float): Degrees of freedom of the error; infinite for that of an evaluation.
    """

    error: float
    freedom: float = math.inf


def noise_of_trainings(values: Sequence[Optional[float]]) -> Optional[Noise]:
    """Noise of a mean over trainings; None for a single one."""
    values = [value for value in values if value is not None]
    if len(values) < 2:
        return None
    return Noise(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1)


def noise_of_intervals(intervals: Sequence[Optional[Tuple[float, float]]]) -> Optional[Noise]:
    """Noise of a mean of numbers with 95 % intervals of their own; None where one has none."""
    if not intervals or any(pair is None for pair in intervals):
        return None
    errors = [(high - low) / (2 * 1.959964) for low, high in intervals]
    return Noise(math.sqrt(sum(error**2 for error in errors)) / len(errors))


def differ(a: float, b: float, of_a: Optional[Noise], of_b: Optional[Noise]) -> bool:
    """Welch's test at 5 %, two-sided; False where the noise of one is not known."""
    from scipy import stats  # slow to import, and needed at the end alone

    if of_a is None or of_b is None:
        return False
    variance = of_a.error**2 + of_b.error**2
    if not variance:
        return a != b
    parts = [noise.error**4 / noise.freedom for noise in (of_a, of_b)]
    freedom = variance**2 / sum(parts) if sum(parts) else math.inf
    return 2 * stats.t.sf(abs(a - b) / math.sqrt(variance), freedom) < _LEVEL


def mark_undecided(
    rows: Sequence[Dict[str, Any]],
    columns: Sequence[Column],
    noise: Mapping[Tuple[str, str], Optional[Noise]],
    grey: Sequence[str] = (),
) -> bool:
    """Say of every column whose best row is not known that it has none (``row['not_best']``).

    Args:
        rows (Sequence[dict]): Of the table, changed in place; ``model`` is their name.
        columns (Sequence[Column]): Of the table.
        noise (Mapping): By model and key of a column.
        grey (Sequence[str]): Models that make grey frames: best in nothing.

    Returns:
        bool: Whether some column has a best row.
    """
    decided = False
    for column in columns:
        if column.better is None:
            continue
        key = column.key
        means = {}
        for row in rows:
            value = row.get(key)
            value = value[0] if isinstance(value, tuple) else value
            if value is not None:
                means[row['model']] = value
        if len(means) > 1:
            choose = min if column.better == 'lower' else max
            best = choose(means, key=means.get)
            others = [name for name in means if name != best]
            if best not in grey and all(
                differ(means[best], means[name], noise.get((best, key)), noise.get((name, key)))
                for name in others
            ):
                decided = True
                continue
        for row in rows:
            row.setdefault('not_best', []).append(key)
    return decided


def grey_frames(
    made: Mapping[str, np.ndarray], real: Sequence[Sequence[np.ndarray]]
) -> Dict[str, str]:
    """Models whose images show hardly anything, or hardly anything different, and why.

    Args:
        made (Mapping[str, np.ndarray]): By model, uint8 (classes, images, H, W, C).
        real (Sequence[Sequence[np.ndarray]]): Real images of each class, uint8 (H, W, C).

    Returns:
        dict[str, str]: By model what to say of it; empty where real images are too few.
    """
    shown = [np.stack(images) for images in real if len({i.shape for i in images}) == 1]
    contrast = [_contrast(images) for images in shown]
    variety = [_variety(images) for images in shown if len(images) > 1]
    found = {}
    for name, classes in made.items():
        shares = []
        if contrast:
            share = statistics.fmean(map(_contrast, classes)) / max(np.mean(contrast), 1e-9)
            shares.append((share, 'contrast'))
        if variety and classes.shape[1] > 1:
            share = statistics.fmean(map(_variety, classes)) / max(np.mean(variety), 1e-9)
            shares.append((share, 'variety'))
        words: List[str] = [
            f'{share:.0%} of the {what} of real images' for share, what in shares if share < _GREY
        ]
        if words:
            found[name] = f'grey frames: its images have {" and ".join(words)}; best in nothing'
    return found


def _contrast(images: np.ndarray) -> float:
    """Grey levels that the pixels of an image differ by: (images, H, W, C) -> mean deviation."""
    return float(images.astype(np.float32).mean(axis=-1).std(axis=(1, 2)).mean())


def _variety(images: np.ndarray) -> float:
    """Grey levels that the images of a class differ by at a pixel."""
    return float(images.astype(np.float32).mean(axis=-1).std(axis=0).mean())
