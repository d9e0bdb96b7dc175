"""Pictures of a segmentation benchmark: scores by share of masks and by input size, Fig. 6."""

import math
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.benchmark.figures import arm_colours
from cellgan_plugin.visualization.figures import new_figure, save_figure, set_title

_COLUMNS = 3  # panels beside each other that a page shows at a legible size
Curves = Mapping[str, Mapping[float, Sequence[float]]]


def draw_score_curves(
    path: Union[str, Path],
    panels: Mapping[str, Curves],
    title: str,
    x_label: str,
    percent: bool = False,
) -> Path:
    """One panel per metric: every method's mean with its spread, and every single training.

    Args:
        path (str | Path): PNG to write.
        panels (Mapping): Title of a metric -> method -> x -> values of its trainings.
        title (str): Above the picture.
        x_label (str): Below the panels.
        percent (bool): x is a share, shown in percent. Defaults to False.
    """
    methods = list(dict.fromkeys(m for curves in panels.values() for m in curves))
    colours = arm_colours(methods)
    columns = max(1, min(_COLUMNS, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = new_figure(1.0 + 3.6 * columns, 3.4 * rows + 0.8 + 0.2 * len(methods))
    set_title(figure, title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles = {}
    for axes, (metric, curves) in zip(grid, panels.items(), strict=False):
        ticks = sorted({x for points in curves.values() for x in points})
        for number, (method, points) in enumerate(curves.items()):
            xs = [x for x in sorted(points) if len(points[x])]
            if not xs:
                continue
            places = np.array([ticks.index(x) for x in xs], dtype=float)
            # Side by side, so that spreads of methods that are alike can be told apart.
            places += 0.05 * (number - (len(curves) - 1) / 2)
            means = np.array([np.mean(points[x]) for x in xs])
            spreads = np.array([np.std(points[x], ddof=1) if len(points[x]) > 1 else 0 for x in xs])
            (line,) = axes.plot(places, means, 'o-', color=colours[method], lw=1.4, ms=4)
            handles[method] = line
            axes.vlines(places, means - spreads, means + spreads, color=colours[method], lw=1)
            for place, x in zip(places, xs, strict=True):
                axes.plot([place] * len(points[x]), points[x], '.', color=colours[method], ms=3)
        axes.set_title(metric, fontsize=9)
        names = [f'{x:.0%}' if percent else f'{x:g}' for x in ticks]
        axes.set_xticks(range(len(ticks)), names, fontsize=8)
        axes.set_xlabel(x_label, fontsize=8)
        axes.tick_params(axis='y', labelsize=8)
        axes.spines[['top', 'right']].set_visible(False)
    if handles:
        figure.legend(
            handles.values(), handles.keys(), loc='outside lower center', fontsize=8, ncols=2,
            frameon=False,
        )  # fmt: skip
    return save_figure(figure, path)


def draw_improvements(
    path: Union[str, Path],
    shares: Mapping[float, Optional[Tuple[float, float]]],
    names: Sequence[str],
    title: str,
) -> Path:
    """Bars of delta_1 and delta_2 by share of masks (Fig. 6 of Li et al. 2022).

    Args:
        path (str | Path): PNG to write.
        shares (Mapping): Share of masks -> (delta_1, delta_2), None where they mean nothing.
        names (Sequence[str]): Of the single scale, the pyramid and the full method.
        title (str): Above the picture.
    """
    figure = new_figure(max(4.6, 2.0 + 1.1 * len(shares)), 3.8)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    single, pyramid, full = names
    said = f'δ1: {single} → {pyramid}', f'δ2: {pyramid} → {full}'
    for which, (label, colour) in enumerate(zip(said, ('#0072B2', '#D55E00'), strict=True)):
        heights = [pair[which] if pair else 0.0 for pair in shares.values()]
        axes.bar(
            np.arange(len(shares)) + 0.4 * which - 0.2, heights, 0.38, label=label, color=colour
        )
    for place, pair in enumerate(shares.values()):
        if pair is None:
            axes.text(place, 0.02, 'no\nimprovement', ha='center', va='bottom', fontsize=7)
    axes.axhline(0, color='black', lw=0.8)
    axes.set_xticks(range(len(shares)), [f'{ratio:.0%}' for ratio in shares], fontsize=8)
    axes.set_xlabel('share of training images with a mask', fontsize=8)
    axes.set_ylabel('part of the improvement', fontsize=8)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside lower center', fontsize=8, frameon=False)
    return save_figure(figure, path)
