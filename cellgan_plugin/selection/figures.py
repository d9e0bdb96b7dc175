"""Pictures of a selection: best and worst of every class, and where they lie among real images."""

from pathlib import Path
from typing import Dict, List, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import encode_image
from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.contact_sheet import image_grid
from cellgan_plugin.visualization.figures import (
    new_figure,
    save_figure,
    set_legend,
    wrapped,
)

_CELL = 96  # pixels


def draw_best_worst(
    path: Union[str, Path],
    groups: Sequence[Tuple[str, Dict[str, List[np.ndarray]]]],
    columns: int = 4,
) -> Path:
    """Rows of classes; blocks of columns: the best kept, then the worst by each criterion.

    Args:
        path (str | Path): PNG to write.
        groups (Sequence[tuple[str, dict]]): Block title, and per class name up to ``columns``
            uint8 RGB images (H, W, 3). All blocks name the same classes.
        columns (int): Images per block. Defaults to 4.

    Returns:
        Path: ``path``.
    """
    classes = list(groups[0][1])
    every = [image for _, block in groups for row in block.values() for image in row]
    height = max(image.shape[0] for image in every)
    scale = max(1, round(_CELL / height)) if height < _CELL else _CELL / height
    blank = np.full((*every[0].shape[:2], 3), 255, dtype=np.uint8)
    gap = blank[:, : max(1, blank.shape[1] // 4)]
    rows, titles = [], []
    for number, (title, _) in enumerate(groups):
        titles += ([''] if number else []) + [title] + [''] * (columns - 1)
    for name in classes:
        row: List[np.ndarray] = []
        for number, (_, block) in enumerate(groups):
            images = list(block[name][:columns])
            row += ([gap] if number else []) + images + [blank] * (columns - len(images))
        rows.append(row)
    sheet = image_grid(rows, row_titles=classes, column_titles=titles, scale=scale)
    with atomic_write(path) as file:
        file.write(encode_image(sheet, 'png'))
    return Path(path)


def embed(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE (scikit-learn) of features (n, d) as float32 (n, 2); n of at least 5."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 4)
    model = TSNE(2, perplexity=perplexity, init='pca', random_state=seed, learning_rate='auto')
    return model.fit_transform(np.asarray(features, dtype=np.float32))


def draw_tsne(
    path: Union[str, Path],
    points: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    panels: Sequence[Tuple[str, np.ndarray, np.ndarray]],
) -> Path:
    """One embedding in several panels, colours for classes (HistoGAN, Figs. 10 and 11).

    Args:
        path (str | Path): PNG to write.
        points (np.ndarray): (n, 2).
        labels (np.ndarray): int64 (n,).
        classes (Sequence[str]): Class names.
        panels (Sequence[tuple]): Title, bool (n,) of real images and bool (n,) of synthetic images
            shown there.

    Returns:
        Path: ``path``.
    """
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    colours = colormaps['tab10' if len(classes) <= 10 else 'tab20']
    figure = new_figure(4.2 * len(panels), 4.6)
    low, high = points.min(0), points.max(0)
    margin = 0.05 * (high - low) + 1e-6
    for number, (title, real, synthetic) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for label in range(len(classes)):
            colour = colours(label % colours.N)
            shown = real & (labels == label)
            axes.scatter(*points[shown].T, s=9, color=colour, alpha=0.35, linewidths=0)
            shown = synthetic & (labels == label)
            axes.scatter(*points[shown].T, s=16, color=colour, marker='x', linewidths=0.9)
        axes.set_title(wrapped(title, 4.0, 10), fontsize=10)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
        axes.set_xticks([])
        axes.set_yticks([])
    keys = [
        Line2D([], [], marker='o', ls='', color=colours(i % colours.N), label=name)
        for i, name in enumerate(classes)
        if (labels == i).any()
    ]
    keys.append(Line2D([], [], marker='o', ls='', color='0.5', alpha=0.5, label='real'))
    keys.append(Line2D([], [], marker='x', ls='', color='0.3', label='synthetic'))
    set_legend(figure, keys, [key.get_label() for key in keys])
    return save_figure(figure, path)
