"""The page of a segmentation benchmark, from what lies in its folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Union

from cellgan_plugin.records import read_json
from cellgan_plugin.visualization.page import PAGE_NAME, Section, picture_section, write_page
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
    protocol = record.get('protocol') or {}
    found = {
        path.stem: read_report_table(path)
        for path in sorted(folder.glob('*.json'))
        if path.name != RECORD_NAME and path.with_suffix('.md').is_file()
    }
    metrics = {name: found.pop(name) for name in protocol.get('metrics') or () if name in found}
    tables = [*joined(metrics), *found.values()]
    notes = list(record.get('notes') or ())
    notes += [note for table in (*metrics.values(), *tables) for note in table.notes]
    for table in tables:
        table.notes = []
    loud = [note for note in dict.fromkeys(notes) if note.startswith(_LOUD)]
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
        sections.append(picture_section(kind, title, folder / name, caption))
    return sections


def joined(tables: Mapping[str, ReportTable]) -> List[ReportTable]:
    """Tables of one metric each: side by side in one, where all have a single column of values.

    Args:
        tables (Mapping[str, ReportTable]): Metric -> methods by shares of masks, or by sizes.
    """
    values = {name: table.columns[1:] for name, table in tables.items()}
    if len(tables) < 2 or {tuple(c.key for c in own) for own in values.values()} != {
        (next(iter(values.values()))[0].key,)
    }:
        return list(tables.values())
    first = next(iter(tables.values()))
    metrics, _, of = zip(*(table.title.partition(': ') for table in tables.values()), strict=True)
    (column,) = first.columns[1:]
    columns = [first.columns[0]]
    rows: List[Dict[str, Any]] = [
        {key: cell for key, cell in row.items() if key.partition('_why')[0] != column.key}
        for row in first.rows
    ]
    for row in rows:
        row['not_best'] = []
    for (name, table), title in zip(tables.items(), metrics, strict=True):
        (own,) = table.columns[1:]
        columns.append(replace(own, key=name, title=title))
        for row, cells in zip(rows, table.rows, strict=True):
            row[name] = cells.get(own.key)
            if f'{own.key}_why' in cells:
                row[f'{name}_why'] = cells[f'{own.key}_why']
            row['not_best'] += [name] if own.key in cells.get('not_best', ()) else []
    return [ReportTable(f'Scores at {column.title}: {of[0]}', columns, rows)]
