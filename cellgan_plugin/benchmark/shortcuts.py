"""What tells synthetic from real images before any cell is looked at: said before a benchmark."""

from typing import List, Sequence

from cellgan_plugin.benchmark.fold_plan import Sample
from cellgan_plugin.datasets.file_history import compare_files, style_of
from cellgan_plugin.datasets.image_io import ImageFileError

_MARK = 'SHORTCUT'
_WAY_OUT = 'synthesize.py --like writes files alike'


def of_folder(name: str, samples: Sequence[Sample], files: Sequence[str]) -> List[str]:
    """Notes on the images of a folder, see :func:`compare_files`.

    Args:
        name (str): Of the generator.
        samples (Sequence[Sample]): The real images.
        files (Sequence[str]): Paths of the synthetic ones.
    """
    lines = compare_files([sample.file for sample in samples], files)
    return [f'+ {name}: {_MARK}: {line} ({_WAY_OUT})' for line in lines]


def of_drawn(name: str, samples: Sequence[Sample]) -> List[str]:
    """Notes on images that the benchmark draws itself, and writes without loss."""
    try:
        style = style_of([sample.file for sample in samples])
    except ImageFileError:
        return []  # what cannot be read is told with its name when it is used
    if style.jpeg is None:
        return []
    return [
        f'+ {name}: {_MARK}: real images are {style.describe()}, those drawn here PNG: '
        f'compression may tell them apart ({_WAY_OUT}; give the folder as the generator)'
    ]


def of_made(
    notes: Sequence[str], name: str, samples: Sequence[Sample], files: Sequence[str]
) -> List[str]:
    """Notes of an arm once its images are drawn: what they show in place of what was expected."""
    others = [note for note in notes if f': {_MARK}: ' not in note]
    return [*others, *of_folder(name, samples, files)]
