"""Where selected images lie among real images."""

from pathlib import Path
from typing import Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.visualization.figures import new_figure, save_figure, set_legend, wrapped


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
