"""Pictures of a benchmark: boxes over folds, confusion matrices, learning curves."""

import math
from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.benchmark.statistics import FEWEST_FOLDS
from cellgan_plugin.visualization.figures import (
    new_figure,
    save_figure,
    set_legend,
    set_title,
    text_width,
    wrapped,
)

_COLUMNS = 3
# Okabe and Ito: told apart by colour-blind readers as well.
_COLOURS = ('#000000', '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#999999')


def arm_colours(arms: Sequence[str]) -> dict:
    """A colour for each arm; the first, the real images alone, is black."""
    return {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(arms)}


def draw_boxes(
    path: Union[str, Path],
    values: Mapping[str, Mapping[str, Mapping[str, Sequence[Optional[float]]]]],
    titles: Mapping[str, str],
    title: str,
    boxes: bool = True,
) -> Path:
    """One panel per metric and classifier: a box and the single folds for every arm.

    Lines join the same fold in different arms, since arms are compared fold by fold.

    Args:
        path (str | Path): PNG to write.
        values (Mapping): Metric -> classifier -> arm -> one value in [0, 1] per fold, or None.
        titles (Mapping[str, str]): Metric -> title.
        title (str): Above the picture.
        boxes (bool): Whether boxes are drawn; never of fewer than three values, whose quartiles
            say nothing: a line marks their mean then. Defaults to True.
    """
    metrics = list(values)
    classifiers = list(dict.fromkeys(c for by_classifier in values.values() for c in by_classifier))
    arms = list(dict.fromkeys(s for m in values.values() for by_arm in m.values() for s in by_arm))
    colours = arm_colours(arms)
    longest = max(map(len, arms), default=1)
    # A page shows three panels beside each other at a legible size.
    columns = len(metrics) if len(classifiers) > 1 else min(_COLUMNS, len(metrics))
    lines = len(classifiers) if len(classifiers) > 1 else math.ceil(len(metrics) / columns)
    figure = new_figure(
        1.2 + max(1.9, 0.55 * len(arms) + 0.9) * columns,
        0.8 + (2.4 + 0.075 * longest) * lines,
    )
    set_title(figure, title)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=False).ravel()
    for axes in grid[len(classifiers) * len(metrics) :]:
        axes.set_axis_off()
    for line, classifier in enumerate(classifiers):
        for column, metric in enumerate(metrics):
            axes = grid[line * len(metrics) + column]
            table = values[metric].get(classifier, {})
            folds = max((len(v) for v in table.values()), default=0)
            points = np.array(
                [[np.nan if v is None else 100 * v for v in table.get(s, [None] * folds)]
                 for s in arms], dtype=np.float64,
            ).reshape(len(arms), folds)  # fmt: skip
            for fold in range(folds):
                axes.plot(range(len(arms)), points[:, fold], color='0.8', lw=0.8, zorder=1)
            for x, arm in enumerate(arms):
                found = points[x][np.isfinite(points[x])]
                if not len(found):
                    axes.text(x, 0.5, 'failed', rotation=90, ha='center', va='center', fontsize=8,
                              color='0.4', transform=axes.get_xaxis_transform())  # fmt: skip
                    continue
                line_style = dict(color=colours[arm], lw=1.2)
                if boxes and len(found) >= FEWEST_FOLDS:
                    axes.boxplot(found, positions=[x], widths=0.55, showfliers=False,
                                 boxprops=line_style, whiskerprops=line_style, capprops=line_style,
                                 medianprops=dict(line_style, lw=2))  # fmt: skip
                else:
                    axes.hlines(found.mean(), x - 0.27, x + 0.27, color=colours[arm], lw=2)
                spread = np.linspace(-0.12, 0.12, len(found)) if len(found) > 1 else [0]
                axes.plot(x + np.asarray(spread), found, 'o', ms=3, color=colours[arm], zorder=3)
            axes.set_xticks(range(len(arms)), arms, rotation=90, fontsize=8)
            axes.set_xlim(-0.6, len(arms) - 0.4)
            axes.set_ylim(top=min(axes.get_ylim()[1], 101))
            axes.tick_params(axis='y', labelsize=8)
            axes.grid(axis='y', alpha=0.3)
            axes.spines[['top', 'right']].set_visible(False)
            if line == 0:
                axes.set_title(f'{titles.get(metric, metric)} (%)', fontsize=9)
            if column % columns == 0:
                axes.set_ylabel(classifier, fontsize=9)
    return save_figure(figure, path)


def draw_confusions(
    path: Union[str, Path],
    matrices: Mapping[Tuple[str, str], Optional[np.ndarray]],
    classes: Sequence[str],
    title: str,
) -> Path:
    """Confusion matrices, rows classifiers, columns arms, each row of a matrix in percent.

    Args:
        path (str | Path): PNG to write.
        matrices (Mapping): (classifier, arm) -> counts (K, K), rows true classes; None where
            nothing is done.
        classes (Sequence[str]): K names.
        title (str): Above the picture.
    """
    classifiers = list(dict.fromkeys(name for name, _ in matrices))
    arms = list(dict.fromkeys(name for _, name in matrices))
    side = max(1.6, 0.42 * len(classes) + 0.3)
    names = max(text_width(name, 7) for name in classes) + 0.2
    heads = [wrapped(arm, side, 9) for arm in arms]
    lines = 1 + max(head.count('\n') for head in heads)
    height = side + 0.35 + 0.18 * lines
    figure = new_figure(
        0.8 + names + (side + 0.15) * len(arms), 0.9 + names + height * len(classifiers)
    )
    set_title(figure, f'{title}\n% of the true class, all folds', 9)
    grid = figure.subplots(len(classifiers), len(arms), squeeze=False)
    for line, classifier in enumerate(classifiers):
        for column, arm in enumerate(arms):
            axes = grid[line][column]
            counts = matrices.get((classifier, arm))
            last = line == len(classifiers) - 1
            axes.set_xticks(range(len(classes)), classes if last else [''] * len(classes),
                            rotation=90, fontsize=7)  # fmt: skip
            axes.set_yticks(range(len(classes)), classes if column == 0 else [''] * len(classes),
                            fontsize=7)  # fmt: skip
            axes.set_title(heads[column] if line == 0 else '', fontsize=9)
            if column == 0:
                axes.set_ylabel(f'{classifier}\ntrue class', fontsize=8)
            if last:
                axes.set_xlabel('predicted', fontsize=8)
            if counts is None:
                axes.set_xlim(-0.5, len(classes) - 0.5)
                axes.set_ylim(len(classes) - 0.5, -0.5)
                axes.set_aspect('equal')
                axes.text(0.5, 0.5, 'failed', ha='center', va='center', color='0.4', fontsize=9,
                          transform=axes.transAxes)  # fmt: skip
                continue
            counts = np.asarray(counts, dtype=np.float64)
            share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axes.imshow(share, vmin=0, vmax=100, cmap='Blues')
            for row in range(len(classes)):
                for col in range(len(classes)):
                    colour = 'white' if share[row, col] > 55 else 'black'
                    axes.text(
                        col, row, f'{share[row, col]:.0f}', ha='center', va='center', fontsize=7,
                        color=colour,
                    )  # fmt: skip
    return save_figure(figure, path)


def draw_learning_curves(
    path: Union[str, Path],
    curves: Mapping[str, Mapping[str, Sequence[Mapping[str, Mapping]]]],
    title: str,
) -> Path:
    """Loss and accuracy on the training batches (and on validation images), per classifier.

    A line is the mean over an arm's jobs, the band reaches from the lowest to the highest.

    Args:
        path (str | Path): PNG to write.
        curves (Mapping): Classifier -> arm -> what each job left in ``curves.json``.
        title (str): Above the picture.
    """
    wanted = (
        ('train', 'loss', 'training loss'),
        ('train', 'accuracy_top-1', 'accuracy on training batches (%)'),
        ('val', 'accuracy', 'accuracy on validation images (%)'),
    )
    present = [
        panel for panel in wanted
        if any(panel[1] in job.get(panel[0], {})
               for by_arm in curves.values() for jobs in by_arm.values() for job in jobs)
    ]  # fmt: skip
    arms = list(dict.fromkeys(s for by_arm in curves.values() for s in by_arm))
    colours = arm_colours(arms)
    figure = new_figure(1.0 + 3.9 * max(1, len(present)), 0.9 + 2.6 * max(1, len(curves)))
    set_title(figure, title)
    grid = figure.subplots(max(1, len(curves)), max(1, len(present)), squeeze=False)
    for line, (classifier, by_arm) in enumerate(curves.items()):
        for column, (part, name, label) in enumerate(present):
            axes = grid[line][column]
            for arm in arms:
                found = [job[part][name] for job in by_arm.get(arm, ())
                         if name in job.get(part, {}) and job[part][name]['iteration']]  # fmt: skip
                if not found:
                    continue
                steps = np.asarray(max((c['iteration'] for c in found), key=lambda s: s[-1]))
                # Folds of other sizes have other steps: read off at the same places.
                values = np.array([
                    np.interp(steps, c['iteration'], c['value'], right=np.nan) for c in found
                ])  # fmt: skip
                mean = np.nanmean(values, axis=0)
                axes.plot(steps, mean, color=colours[arm], lw=1.4, label=arm)
                if len(values) > 1:
                    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
                    axes.fill_between(steps, low, high, color=colours[arm], alpha=0.15, lw=0)
            if line == 0:
                axes.set_title(label, fontsize=9)
            if column == 0:
                axes.set_ylabel(classifier, fontsize=9)
            if line == len(curves) - 1:
                axes.set_xlabel('optimizer steps', fontsize=8)
            axes.tick_params(labelsize=8)
            axes.grid(alpha=0.3)
            axes.spines[['top', 'right']].set_visible(False)
    handles = {}
    for axes in grid.flat:
        handles.update({line.get_label(): line for line in axes.get_lines()})
    if handles:
        set_legend(figure, list(handles.values()), list(handles), 8)
    return save_figure(figure, path)
