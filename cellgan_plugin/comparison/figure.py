"""The picture of a comparison: rows models, columns classes."""

from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from cellgan_plugin.comparison.evaluate import IMAGES
from cellgan_plugin.comparison.results import ComparisonResults
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.visualization import image_grid


def made_images(results: ComparisonResults) -> Dict[str, np.ndarray]:
    """The images of the picture by model, of several trainings the first's."""
    found = {}
    for model in results.plan.models:
        done = results.of(model.name)
        if done:
            with np.load(Path(done[0][0].folder) / IMAGES, allow_pickle=False) as archive:
                found[model.name] = archive['images']
    return found


def real_samples(dataset, classes: int, count: int, seed: int) -> List[List[np.ndarray]]:
    """``count`` real images of each class by lot, uint8 (H, W, C); fewer where there are fewer."""
    by_class: List[List[int]] = [[] for _ in range(classes)]
    for index in range(len(dataset)):
        by_class[dataset.get_data_info(index)['gt_label']].append(index)
    images = []
    for label, indices in enumerate(by_class):
        order = rng_for(seed, 'compare_real', label).permutation(len(indices))[:count]
        chosen = [indices[i] for i in order]
        images.append([dataset[i]['inputs']['img'].permute(1, 2, 0).numpy() for i in chosen])
    return images


def _cell(images: Sequence[np.ndarray], count: int, columns: int) -> np.ndarray:
    """One cell of the picture: up to ``count`` images in rows of ``columns``."""
    blank = np.full_like(images[0], 255)
    filled = [*images, *[blank] * (count - len(images))]
    return image_grid([filled[i : i + columns] for i in range(0, count, columns)], pad=1)


def figure(
    results: ComparisonResults,
    made: Mapping[str, np.ndarray],
    real: Sequence[Sequence[np.ndarray]],
) -> Optional[np.ndarray]:
    """Rows models, columns classes, the same noise in the same place of every row (Figs. 2, 3).

    Args:
        results (ComparisonResults): The finished parts; of several trainings the first is shown.
        made (Mapping[str, np.ndarray]): Of :func:`made_images`.
        real (Sequence[Sequence[np.ndarray]]): Of :func:`real_samples`; shown on top where the
            figure's options say so.

    Returns:
        np.ndarray | None: uint8 RGB (H, W, 3); None when no model is finished.
    """
    options = results.plan.figure
    count = options.samples_per_class
    columns = options.columns or int(np.ceil(np.sqrt(count)))
    rows, titles = [list(images) for images in made.values()], list(made)
    if not rows:
        return None
    if options.real:
        blank = next(images[0] for images in real if images)
        rows.insert(0, [images or [np.full_like(blank, 255)] for images in real])
        titles.insert(0, 'real')
    cells = [[_cell(images, count, columns) for images in row] for row in rows]
    return image_grid(
        cells, row_titles=titles, column_titles=results.classes, pad=4, scale=options.scale
    )
