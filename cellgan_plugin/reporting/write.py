"""Write a page about folders that the tools have made, whichever they are."""

from pathlib import Path
from typing import Callable, List, Mapping, Sequence, Tuple, Union

from cellgan_plugin.benchmark.page import benchmark_sections
from cellgan_plugin.comparison.page import comparison_sections
from cellgan_plugin.reporting.evaluations import evaluation_sections
from cellgan_plugin.reporting.images import selection_sections, synthesis_sections
from cellgan_plugin.reporting.trainings import training_sections
from cellgan_plugin.visualization.page import PAGE_NAME, Section, write_page

Folder = Union[str, Path]
Reader = Callable[[Path, str], List[Section]]

# File by which a folder is known -> what reads it. A folder may be several things at once.
_READERS: Tuple[Tuple[str, Reader], ...] = (
    ('results.json', lambda folder, name: benchmark_sections(folder)),
    ('comparison.json', lambda folder, name: comparison_sections(folder)),
    ('evaluation.jsonl', evaluation_sections),
    ('synthesis.json', synthesis_sections),
    ('selection.json', selection_sections),
    ('curves.png', training_sections),
)


def sections_of(folder: Folder, name: str = '') -> List[Section]:
    """What there is to say of a folder that a tool has made.

    Args:
        folder (str | Path): Of a benchmark, comparison, evaluation, training, selection, or of
            synthetic images.
        name (str): Put into the headings, to tell folders of one kind apart. Defaults to '': the
            folder's name.

    Returns:
        list[Section]: Never empty.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: It is none of these, or a file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'there is no folder {folder}')
    found: List[Section] = []
    for file, reader in _READERS:
        if (folder / file).is_file():
            found += reader(folder, name or folder.resolve().name)
    if not found:
        raise ValueError(
            f'{folder} holds no results: expected one of {", ".join(f for f, _ in _READERS)}, as '
            'the tools write them'
        )
    return found


def write_report(
    out: Folder,
    folders: Union[Sequence[Folder], Mapping[str, Folder]],
    title: str = 'Report',
    subtitle: str = '',
    sections: Sequence[Section] = (),
) -> Path:
    """Write one page about several folders.

    Sections stand in the order of a page (verdict, tables, images, classes, distances,
    memorisation, confusion, curves, selection, protocol, warnings), whichever folder they are of.

    Args:
        out (str | Path): The HTML file, or a folder, which gets ``report.html``.
        folders (Sequence | Mapping[str, Folder]): See :func:`sections_of`; with names for the
            headings, or without.
        title (str): Heading. Defaults to 'Report'.
        subtitle (str): Below it. Defaults to ''.
        sections (Sequence[Section]): Further ones, e.g. of the data. Defaults to none.

    Returns:
        Path: The file.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: A folder holds no results.
    """
    out = Path(out)
    pairs = folders.items() if isinstance(folders, Mapping) else [('', f) for f in folders]
    shown = list(sections)
    for name, folder in pairs:
        shown += sections_of(folder, name)
    path = out if out.suffix.lower() in ('.html', '.htm') else out / PAGE_NAME
    return write_page(path, title, shown, subtitle)
