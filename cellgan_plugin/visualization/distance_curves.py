"""The distance of every class over training, and the checkpoint that was chosen."""

from pathlib import Path
from typing import Mapping, Optional, Sequence, Union

from cellgan_plugin.visualization.figures import new_figure, save_figure


def draw_distance_curves(
    path: Union[str, Path],
    rows: Mapping[int, Mapping[str, float]],
    smoothed: Sequence[float],
    name: str,
    best: Optional[int] = None,
    row: str = 'mean',
) -> Path:
    """Draw one line per class, their mean, and the smoothed curve with its minimum marked.

    Args:
        path (str | Path): PNG to write.
        rows (Mapping[int, Mapping[str, float]]): Iteration to values by class, ``mean`` and
            ``pooled``, in the order of training.
        smoothed (Sequence[float]): Smoothed distance at each of these iterations.
        name (str): Of the distance, for the axis.
        best (int, optional): Iteration of the checkpoint that is kept. Defaults to None.
        row (str): What was smoothed. Defaults to 'mean'.

    Returns:
        Path: ``path``.
    """
    from matplotlib.ticker import LogFormatter

    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    marker = 'o' if len(rows) < 30 else None
    for label in dict.fromkeys(label for values in rows.values() for label in values):
        points = [(i, values[label]) for i, values in rows.items() if label in values]
        style = dict(mean=dict(color='black', lw=1.5), pooled=dict(color='0.6', ls=':'))
        axes.plot(
            *zip(*points, strict=True), label=label, marker=marker, ms=3,
            **style.get(label, dict(lw=1)),
        )  # fmt: skip
    axes.plot(list(rows), list(smoothed), color='black', ls='--', lw=1.5, label=f'{row}, smoothed')
    if best in rows:
        axes.axvline(best, color='0.5', lw=1)
        axes.plot(best, smoothed[list(rows).index(best)], 'k*', ms=12, label=f'kept: {best}')
    lowest = min((v for values in rows.values() for v in values.values()), default=0)
    if lowest > 0:  # early distances dwarf the late ones
        axes.set_yscale('log')
        # The usual labels of such an axis are formulas, and figures here show texts as they are.
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
    axes.set_xlabel('iteration')
    axes.set_ylabel(name)
    axes.grid(alpha=0.3, which='both')
    axes.legend(fontsize=8, ncols=2)
    return save_figure(figure, path)


def draw_smoothed_curves(
    path: Union[str, Path],
    iterations: Sequence[int],
    curves: Mapping[float, Sequence[float]],
    name: str,
) -> Path:
    """Draw one curve under several smoothings, each with its minimum (HistoGAN, Fig. 4).

    Args:
        path (str | Path): PNG to write.
        iterations (Sequence[int]): Of the measured checkpoints, ascending.
        curves (Mapping[float, Sequence[float]]): Alpha to the smoothed distances; 0 is drawn as
            points as well.
        name (str): Of the distance, for the axis.

    Returns:
        Path: ``path``.
    """
    from matplotlib import colormaps

    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    colours = colormaps['viridis'].resampled(max(2, len(curves) + 1))
    for number, (alpha, values) in enumerate(curves.items()):
        best = min(range(len(values)), key=lambda i: values[i])
        said = 'as measured' if alpha == 0 else f'alpha {alpha:g}'
        colour = '0.6' if alpha == 0 else colours(number)
        axes.plot(
            iterations, values, color=colour, lw=1 if alpha == 0 else 1.6,
            marker='o' if alpha == 0 and len(values) < 60 else None, ms=3,
            label=f'{said}: minimum at {iterations[best]}',
        )  # fmt: skip
        axes.plot(iterations[best], values[best], '*', color=colour, ms=12, mec='black', mew=0.5)
    axes.set_xlabel('iteration')
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return save_figure(figure, path)
