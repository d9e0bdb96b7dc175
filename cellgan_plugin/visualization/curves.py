"""Training curves as one picture."""

from pathlib import Path
from typing import Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import HistoryBuffer

from cellgan_plugin.visualization.figures import new_figure, save_figure
from cellgan_plugin.visualization.iteration_runs import iterations_of

# Title of a panel, and what the names of its curves start with ($: end there). Empty: left out.
_PANELS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ('discriminator losses', ('train/loss_disc', 'train/loss_recon$', 'train/loss_r1')),
    (
        'generator loss',
        ('train/loss_gen', 'train/loss_feature_matching', 'train/loss_reconstruction'),
    ),
    (
        'segmenter losses',
        (
            'train/loss_segmenter',
            'train/loss_cross_entropy',
            'train/loss_synthetic',
            'train/loss_consistency',
        ),
    ),
    (
        'autoencoder losses',
        ('train/loss_l1', 'train/loss_perceptual', 'train/loss_kl', 'train/loss_codebook'),
    ),
    ('diffusion loss', ('train/loss_diffusion',)),
    (
        'mean logits',
        ('train/disc_real', 'train/disc_fake', 'train/disc_generated', 'train/disc_segmented'),
    ),
)
_MOST_POINTS = 2000  # of a curve


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Running mean of (n,) values over up to ``window`` of them, shorter at the start."""
    total = np.cumsum(np.insert(values.astype(np.float64), 0, 0.0))
    index = np.arange(1, len(values) + 1)
    start = np.maximum(0, index - window)
    return (total[index] - total[start]) / (index - start)


def draw_curves(
    scalars: Mapping[str, HistoryBuffer],
    path: Union[str, Path],
    iterations: Optional[Mapping[str, Sequence[Sequence[int]]]] = None,
) -> Path:
    """Draw the history of a run: losses and mean logits, smoothed over 1 % of it.

    Args:
        scalars (Mapping[str, HistoryBuffer]): ``runner.message_hub.log_scalars``. Other scalars
            than losses and logits are left out; distances have a picture of their own.
        path (str | Path): PNG to write.
        iterations (Mapping[str, Sequence[Sequence[int]]], optional): Which iterations the values
            of a scalar are of, as runs ``[first, step, count]``
            (:mod:`cellgan_plugin.visualization.iteration_runs`). A scalar that is not in it is
            taken to have one value per iteration, the last one where the others end.

    Returns:
        Path: ``path``.
    """
    panels = []
    for title, prefixes in _PANELS:
        names = sorted(name for name in scalars if f'{name}$'.startswith(prefixes))
        if names:
            panels.append((title, names))
    iterations = iterations or {}
    drawn = [name for _, names in panels for name in names]
    ends = [
        first + step * (count - 1)
        for name in drawn
        for first, step, count in iterations.get(name, ())[-1:]
    ]
    end = max([*ends, *(len(scalars[name].data[0]) for name in drawn)], default=0)
    figure = new_figure(9, 2.6 * max(1, len(panels)))
    for row, (title, names) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, row + 1)
        for name in names:
            values = np.asarray(scalars[name].data[0], dtype=np.float64)
            step = max(1, len(values) // _MOST_POINTS)
            window = max(1, len(values) // 100)
            x = iterations_of(iterations.get(name, ()), len(values), end)
            label = name.split('/', 1)[1].replace('loss_', '')
            axes.plot(x[::step], smoothed(values, window)[::step], label=label, lw=1.2)
        axes.set_title(title, loc='left', fontsize=10)
        axes.set_xlabel('iteration')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc='upper right', ncols=4)
    return save_figure(figure, path)
