"""Had the baseline finished learning? Else more steps alone may be what raises a score."""

from typing import Any, List, Mapping, Optional, Sequence

import numpy as np

# The curve is looked at over this last share of a training.
_TAIL = 0.4
# A rise below a percentage point is not worth a word, even where it is certain.
_LEAST_RISE = 0.01
_ERRORS = 2.0  # standard errors of the slope


def rise_at_the_end(iterations: Sequence[float], accuracy: Sequence[float]) -> Optional[float]:
    """How much an accuracy still rises over the last two fifths of a training.

    Args:
        iterations (Sequence[float]): Of the points of the curve, ascending.
        accuracy (Sequence[float]): In [0, 1].

    Returns:
        float | None: Slope of the least-squares line times the length of that part, where it is
        above a percentage point and above twice its standard error; 0 where it is not; None with
        fewer than five points there.
    """
    x, y = np.asarray(iterations, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    kept = (x >= x[-1] * (1 - _TAIL)) & np.isfinite(y) if len(x) else np.zeros(0, bool)
    x, y = x[kept], y[kept]
    if len(x) < 5:
        return None
    centred = x - x.mean()
    slope = (centred * y).sum() / (centred**2).sum()
    residual = y - y.mean() - slope * centred
    error = np.sqrt((residual**2).sum() / (len(x) - 2) / (centred**2).sum())
    rise = slope * (x[-1] - x[0])
    return float(rise) if rise > _LEAST_RISE and slope > _ERRORS * error else 0.0


def still_rising(curves: Sequence[Mapping[str, Any]]) -> Optional[str]:
    """A sentence when the trainings of an arm had not converged, else None.

    Args:
        curves (Sequence[Mapping]): What its jobs left in ``curves.json``: the accuracy on
            validation images where there are any, else on the training images of each step.
    """
    rises: List[float] = []
    for curve in curves:
        points = curve['val'].get('accuracy') or curve['train'].get('accuracy_top-1')
        if not points:
            continue
        value = np.asarray(points['value'], dtype=np.float64) / 100  # logged in percent
        rise = rise_at_the_end(points['iteration'], value)
        if rise is not None:
            rises.append(rise)
    if not rises or np.median(rises) <= 0:
        return None
    return (
        f'its accuracy while training still rose by {100 * np.median(rises):.1f} points over the '
        f'last two fifths of its steps (median of {len(rises)} trainings; learning_curves.png)'
    )
