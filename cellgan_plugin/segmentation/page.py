"""The page of a segmentation benchmark, from what lies in its folder."""

from pathlib import Path
from typing import List, Union

from cellgan_plugin.records import read_json
from cellgan_plugin.visualization.page import PAGE_NAME, Picture, Section, write_page
from cellgan_plugin.visualization.report_tables import ReportTable, read_report_table

RECORD_NAME = 'segmentation_benchmark.json'
_LOUD = ('NOT BY PATIENT', 'NO PERCEPTUAL TERM', 'Transductive', 'Patients are not known')
# File -> kind of section, its title, caption.
_PICTURES = {
    'masks.png': (
        'images',
        'Masks',
        'Test images by every method, with the fewest masks.',
    ),
    'generation.png': ('images', 'Images of masks', 'Masks above, originals below.'),
    'scores.png': ('curves', 'Curves', 'By share of masks or input size; dots: single trainings.'),
    'improvements.png': ('curves', 'Improvements', 'Which step of the method they come from.'),
}


def write_segmentation_page(folder: Union[str, Path]) -> Path:
    """Write ``report.html`` into the folder of a segmentation benchmark."""
    folder = Path(folder)
    title = (read_json(folder / RECORD_NAME) or {}).get('title') or folder.name
    return write_page(folder / PAGE_NAME, title, segmentation_sections(folder))


def segmentation_sections(folder: Union[str, Path]) -> List[Section]:
    """What a page says of a segmentation benchmark.

    Args:
        folder (str | Path): Its work directory, with record and tables.

    Raises:
        FileNotFoundError: No record there.
        ValueError: A table is damaged.
    """
    folder = Path(folder)
    record = read_json(folder / RECORD_NAME)
    if record is None:
        raise FileNotFoundError(f'{folder} has no {RECORD_NAME}')
    tables: List[ReportTable] = []
    for path in sorted(folder.glob('*.json')):
        if path.name != RECORD_NAME and path.with_suffix('.md').is_file():
            tables.append(read_report_table(path))
    notes = list(record.get('notes') or ())
    notes += [note for table in tables for note in table.notes]
    for table in tables:
        table.notes = []
    loud = [note for note in dict.fromkeys(notes) if note.startswith(_LOUD)]
    protocol = record.get('protocol') or {}
    facts = [(key, str(protocol[key])) for key in ('ratios', 'sizes', 'seeds', 'folds', 'minutes')
             if protocol.get(key)]  # fmt: skip
    facts += [(key, str(record[key])) for key in ('cellgan_plugin', 'git', 'torch', 'started')
              if record.get(key)]  # fmt: skip
    sections = [
        Section('verdict', 'Before you read the tables', text=loud, tone='open'),
        Section('table', 'Scores', tables=tables),
        Section('protocol', 'Protocol', items=list(dict.fromkeys(notes)), facts=facts),
    ]
    for name, (kind, title, caption) in _PICTURES.items():
        sections.append(Section(kind, title, pictures=[Picture(folder / name, caption)]))
    return sections
