"""How the accuracy of every row depends on the number of real training images."""

from pathlib import Path
from typing import Mapping, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.benchmark.figures import arm_colours
from cellgan_plugin.visualization.figures import new_figure, save_figure, set_title

_SPREAD = 0.03  # between the rows at one number of images, in powers of e


def draw_shares(
    path: Union[str, Path],
    points: Mapping[str, Mapping[str, Sequence[Tuple[float, Sequence[float]]]]],
    title: str,
) -> Path:
    """One panel per classifier: mean and standard deviation over folds of every row.

    Args:
        path (str | Path): PNG to write.
        points (Mapping): Classifier -> row -> (real training images of a fold, accuracy of each
            fold in [0, 1]) of every share.
        title (str): Above the picture.
    """
    figure = new_figure(0.6 + 4.2 * max(1, len(points)) + 2.4, 3.8)
    set_title(figure, title)
    grid = figure.subplots(1, max(1, len(points)), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(name for rows in points.values() for name in rows))
    colours = arm_colours(names)
    for axes, (classifier, rows) in zip(grid, points.items(), strict=False):
        ticks = sorted({real for drawn in rows.values() for real, _ in drawn})
        for number, (name, drawn) in enumerate(rows.items()):
            drawn = sorted((real, values) for real, values in drawn if len(values))
            if not drawn:
                continue
            shift = np.exp(_SPREAD * (number - (len(rows) - 1) / 2))
            means = [100 * np.mean(values) for _, values in drawn]
            spread = [100 * np.std(v, ddof=1) if len(v) > 1 else 0.0 for _, v in drawn]
            axes.errorbar(
                [real * shift for real, _ in drawn], means, yerr=spread, color=colours[name],
                marker='o', ms=4, lw=1.6, elinewidth=0.8, capsize=2, label=name,
                ls='--' if number == 0 else '-',
            )  # fmt: skip
        axes.set_xscale('log')
        axes.set_xticks(ticks, [f'{tick:.0f}' for tick in ticks])
        axes.minorticks_off()
        axes.set_title(classifier, fontsize=9)
        axes.set_xlabel('real training images of a fold', fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(axis='y', alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    grid[0].set_ylabel('Accuracy (%), mean ± std over folds', fontsize=9)
    if grid[-1].get_legend_handles_labels()[0]:
        grid[-1].legend(fontsize=8, loc='center left', bbox_to_anchor=(1.02, 0.5), frameon=False)
    return save_figure(figure, path)
