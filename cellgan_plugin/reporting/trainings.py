"""A training on a page: its curves, and what healthy ones look like."""

from pathlib import Path
from typing import List

from cellgan_plugin.comparison.page import HEALTHY_GENERATOR
from cellgan_plugin.visualization.page import Picture, Section, picture_section


def training_sections(folder: Path, name: str) -> List[Section]:
    """Curves of a run, distances over its iterations, and its last sheet.

    Args:
        folder (Path): Work directory.
        name (str): Of the model.
    """
    pictures = [
        Picture(folder / 'curves.png', f'{name}: losses and mean logits.'),
        Picture(
            folder / 'distances.png',
            f'{name}: distance of every class; the star marks the weights that are kept. A healthy '
            'curve falls and levels off; one that rises again is a reason to take the minimum.',
        ),
    ]
    sheets = sorted((folder / 'sheets').glob('iter_*.png'))
    sections = [Section('curves', f'Training of {name}', [HEALTHY_GENERATOR], pictures=pictures)]
    if sheets:
        title = f'{name} at the end of its training'
        said = 'A row per class, the same noise in every row.'
        sections.append(picture_section('images', title, sheets[-1], said))
    return sections
