"""How a classifier's accuracy depends on pool size and ratio (HistoGAN, Fig. 12)."""

from pathlib import Path
from typing import Mapping, Sequence, Union

import numpy as np

from cellgan_plugin.visualization.figures import new_figure, save_figure, set_title

Point = Sequence[float]  # values of the runs, in [0, 1]


def draw_sweep(
    path: Union[str, Path],
    points: Mapping[float, Mapping[float, Point]],
    baseline: Point,
    title: str,
    what: str = 'Accuracy (%)',
    baseline_name: str = 'real only',
) -> Path:
    """One panel per pool size: mean and standard deviation over runs against the ratio.

    Args:
        path (str | Path): PNG to write.
        points (Mapping): Pool size, in units of N -> ratio r -> values of the runs.
        baseline (Sequence[float]): Values of the real images alone, a line and a band.
        title (str): Above the picture.
        what (str): Title of the vertical axis. Defaults to 'Accuracy (%)'.
        baseline_name (str): In the legend. Defaults to 'real only'.
    """
    figure = new_figure(1.0 + 2.3 * max(1, len(points)), 3.2)
    set_title(figure, title)
    grid = figure.subplots(1, max(1, len(points)), sharey=True, squeeze=False)[0]
    ratios = sorted({ratio for by_ratio in points.values() for ratio in by_ratio})
    base = 100 * np.asarray(baseline, dtype=np.float64)
    for axes, (pool, by_ratio) in zip(grid, sorted(points.items()), strict=False):
        if len(base):
            axes.axhline(base.mean(), color='0.4', lw=1, ls='--', label=baseline_name)
            if len(base) > 1:
                spread = base.std(ddof=1)
                axes.axhspan(base.mean() - spread, base.mean() + spread, color='0.9', zorder=0)
        there = [r for r in sorted(by_ratio) if len(by_ratio[r])]
        runs = [100 * np.asarray(by_ratio[r], dtype=np.float64) for r in there]
        if there:
            means = [run.mean() for run in runs]
            spread = [run.std(ddof=1) if len(run) > 1 else 0.0 for run in runs]
            axes.errorbar(
                there, means, yerr=spread, color='#0072B2', marker='o', ms=4, lw=1.4, capsize=3,
                label='mean ± std over runs',
            )  # fmt: skip
            axes.plot(
                np.concatenate([[r] * len(run) for r, run in zip(there, runs, strict=True)]),
                np.concatenate(runs), '.', color='0.6', ms=4, zorder=1,
            )  # fmt: skip
        axes.set_title(f'pool of {pool:g}N', fontsize=9)
        axes.set_xlabel('ratio r', fontsize=9)
        axes.set_xticks(ratios)
        axes.tick_params(labelsize=8)
        axes.grid(axis='y', alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    grid[0].set_ylabel(what, fontsize=9)
    grid[0].legend(fontsize=7, loc='best')
    return save_figure(figure, path)
