"""An evaluation of folders or of a checkpoint on a page: distances, their floor, memorisation."""

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

from cellgan_plugin.comparison.page import MUCH_MEMORISED
from cellgan_plugin.visualization.page import Picture, Section
from cellgan_plugin.visualization.report_tables import Column, ReportTable

MEMORISED = 'memorised'
_FLOOR = (
    'Floor: the same distance between real images and other real images of the class. No generator '
    'can be expected below it; one far above it makes images that differ from the real ones.'
)
_COPIES = (
    'An image counts as memorised if it is as near to a training image as only one in a hundred '
    'new real images is. About 1 % is what a generator that copies nothing has.'
)


def last_evaluations(path: Path) -> List[List[Dict[str, Any]]]:
    """Rows of the last evaluation of every pair of folders, or checkpoint, in a file.

    Raises:
        ValueError: A line is no JSON.
    """
    found: Dict[str, List[Dict[str, Any]]] = {}
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        try:
            row = json.loads(line)
            # `real` and `fake` of a row are numbers of images.
            about = [_evaluated(row), row['protocol']['extractor_fingerprint']]
            key = json.dumps([about, row['time']], default=str)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path}, line {number}: no row of an evaluation ({error})') from None
        found.setdefault(key, []).append(row)
    latest: Dict[str, List[Dict[str, Any]]] = {}
    for key, rows in found.items():
        latest[json.dumps(json.loads(key)[0])] = rows
    return list(latest.values())


def _evaluated(row: Dict[str, Any]) -> str:
    """The checkpoint, or the folder of generated images, that a row is about."""
    generated = row['protocol'].get('generated') or {}
    return str(row.get('checkpoint') or generated.get('root') or '')


def evaluation_sections(folder: Path, name: str) -> List[Section]:
    """Distances beside their floor, and how many images are copies.

    Args:
        folder (Path): With ``evaluation.jsonl``.
        name (str): Of the model or the images.
    """
    sections: List[Section] = []
    evaluations = last_evaluations(folder / 'evaluation.jsonl')
    for rows in evaluations:
        about = _evaluated(rows[0])
        shown = name if len(evaluations) == 1 else f'{name}, {Path(about).name}'
        floor = rows[0]['protocol'].get('floor')
        text = [f'{_FLOOR} Here: {floor}.'] if floor else []
        table = distance_table(rows, shown)
        sections.append(Section('distances', f'Distances: {shown}', text, tables=[table]))
        sections += _memorisation(rows, shown)
        protocol = rows[0]['protocol']
        facts = [('Extractor', json.dumps(protocol.get('extractor'), ensure_ascii=False))]
        facts.append(('Extractor, hash', str(protocol.get('extractor_fingerprint'))))
        facts.append(('Time', str(rows[0].get('time'))))
        sections.append(Section('protocol', f'Evaluation: {shown}', facts=facts))
    pictures = [
        Picture(path, 'The generated images that are nearest to a training image, each beside it.')
        for path in sorted(folder.glob('evaluation_*_nearest.png'))
    ]
    title = f'Nearest training images: {name}'
    return [*sections, Section('memorisation', title, pictures=pictures)]


def distance_table(rows: Sequence[Dict[str, Any]], name: str) -> ReportTable:
    """A row per class; every distance with its interval and its floor."""
    metrics = list(dict.fromkeys(key for row in rows for key in row['values'] if key != MEMORISED))
    floors = [key for key in metrics if any(key in row.get('floor', {}) for row in rows)]
    ranges = [key for key in metrics if any(key in row['intervals'] for row in rows)]
    columns = [Column('class', 'Class'), Column('real', 'Real'), Column('fake', 'Generated')]
    for key in metrics:
        small = any(abs(row['values'][key]) < 10 for row in rows if key in row['values'])
        digits = 3 if small else 2
        columns.append(Column(key, key, digits))
        columns += [Column(f'{key} ends', '95 % interval')] if key in ranges else []
        columns += [Column(f'{key} floor', 'Floor', digits)] if key in floors else []
    lines = []
    for row in rows:
        line: Dict[str, Any] = dict(real=row['real'], fake=row['fake'])
        line['class'], line['group'] = row['row'], row['row'] in ('mean', 'pooled')
        for key in metrics:
            line[key] = row['values'].get(key)
            line[f'{key} floor'] = row.get('floor', {}).get(key)
            if key in row['intervals']:
                low, high = row['intervals'][key]
                line[f'{key} ends'] = f'{low:.3g} to {high:.3g}'
        if row['notes']:
            line['class_why'] = '; '.join(dict.fromkeys(row['notes']))
        lines.append(line)
    return ReportTable(f'{name} against real images', columns, lines)


def _memorisation(rows: Sequence[Dict[str, Any]], name: str) -> List[Section]:
    """Shares of copies; a box beside the verdict where they are many."""
    shares = {row['row']: row['values'][MEMORISED] for row in rows if MEMORISED in row['values']}
    if not shares:
        return []
    columns = [Column(key, key) for key in shares]
    cells = {key: f'{100 * share:.1f} %' for key, share in shares.items()}
    table = ReportTable('Generated images that are as near to a training image as a copy', columns,
                        [cells])  # fmt: skip
    sections = [Section('memorisation', f'Memorisation: {name}', [_COPIES], tables=[table])]
    share = shares.get('pooled', max(shares.values()))
    if share > MUCH_MEMORISED:
        said = (
            f'{100 * share:.0f} % of the images of {name} are as near to a training image as '
            'copies are; about 1 % is usual. Copies add little that the training images do not '
            'have.'
        )
        sections.append(Section('verdict', 'Memorised', text=[said], tone='bad'))
    return sections
