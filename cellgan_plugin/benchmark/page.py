"""The page of a benchmark, from what lies in its folder."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

from cellgan_plugin.benchmark.fold_plan import PARTS
from cellgan_plugin.benchmark.image_sheet import IMAGES_NAME
from cellgan_plugin.benchmark.verdict import HARMS, HELPS, NO_EVIDENCE
from cellgan_plugin.records import digest_of, read_json
from cellgan_plugin.visualization.page import (
    PAGE_NAME,
    Picture,
    Section,
    picture_section,
    write_page,
)
from cellgan_plugin.visualization.report_tables import Column, ReportTable, read_report_table

_TONES = {HELPS: 'good', HARMS: 'bad', NO_EVIDENCE: 'open'}
# Notes that a reader has to see before the numbers.
_LOUD = ('LEAK', 'THE BASELINE HAD NOT CONVERGED', 'Paper protocol')
_BASIS = (
    'Chosen by the corrected resampled t-test over folds (Nadeau and Bengio 2003) at 5 %, adjusted '
    'for the number of rows (Holm). No evidence is not evidence of no effect: the smallest gain '
    'says what this many folds can show.'
)
HEALTHY_CLASSIFIER = (
    'Healthy curves: the loss falls and levels off before the last step, the accuracy on training '
    'batches rises to a plateau, and the bands of the folds lie close together. A baseline that '
    'still rises at the end would gain from more steps alone. An accuracy on validation images '
    'that falls while the one on training batches rises is overfitting.'
)


def write_benchmark_page(folder: Union[str, Path]) -> Path:
    """Write ``report.html`` into the folder of a benchmark whose tables are written."""
    folder = Path(folder)
    table = read_report_table(folder / 'table.json')
    return write_page(folder / PAGE_NAME, table.title, benchmark_sections(folder))


def benchmark_sections(folder: Union[str, Path]) -> List[Section]:
    """What a page says of a benchmark.

    Args:
        folder (str | Path): Its work directory, with ``results.json`` and the tables. Parts that
            are not there are left out.

    Raises:
        FileNotFoundError: No ``results.json`` there.
        ValueError: A table is damaged.
    """
    folder = Path(folder)
    results = read_json(folder / 'results.json')
    if results is None:
        raise FileNotFoundError(f'{folder} has no results.json: run tools/benchmark.py first')
    record = read_json(folder / 'benchmark.json') or {}
    notes = list(results['notes'])
    table = read_report_table(folder / 'table.json')
    table.notes = [note for note in table.notes if note not in notes]
    return [
        *verdict_sections(results.get('verdict') or {}, notes),
        Section('table', 'Scores', tables=[table]),
        picture_section(
            'table', 'Folds', folder / 'boxes.png', 'Every fold; lines join the same fold.'
        ),
        picture_section(
            'images',
            'Real and synthetic images',
            folder / IMAGES_NAME,
            'A row per class: real training images, then those that each row of the table adds '
            '(first fold).',
        ),
        Section('table', 'Differences from the real images alone', **_tables(folder, 'statistics')),
        Section('classes', 'Scores of every class', **_tables(folder, 'per_class')),
        picture_section(
            'confusion',
            'Confusion matrices',
            folder / 'confusion.png',
            'Rows are the true classes, in percent; a good classifier is dark on the diagonal.',
        ),
        picture_section(
            'curves',
            'Training of the classifiers',
            folder / 'learning_curves.png',
            'Mean over the trainings of a row; the band reaches from the lowest to the highest.',
            [HEALTHY_CLASSIFIER],
        ),
        *_selection(folder),
        Section('protocol', 'Data', tables=_counts(record)),
        Section('protocol', 'Protocol', items=notes, facts=_facts(folder, record)),
    ]


def verdict_sections(verdict: Mapping[str, Any], notes: Sequence[str]) -> List[Section]:
    """The first box of a page, and a second one with what makes it doubtful."""
    sections = []
    if verdict.get('headline'):
        sections.append(
            Section(
                'verdict',
                'Verdict',
                text=[verdict['headline'], _BASIS],
                items=[one['sentence'] for one in verdict['verdicts']],
                tone=_TONES.get(verdict['outcome'], ''),
            )
        )
    loud = [note for note in notes if note.startswith(_LOUD)]
    if loud:
        sections.append(Section('verdict', 'Before you believe it', text=loud, tone='bad'))
    return sections


def _tables(folder: Path, stem: str) -> Dict[str, List[ReportTable]]:
    path = folder / f'{stem}.json'
    if not path.is_file():
        return {}
    table = read_report_table(path)
    # Notes that every table has stand once, with the protocol.
    table.notes = table.notes[:1] if stem == 'statistics' else []
    return dict(tables=[table] if table.rows else [])


def _selection(folder: Path) -> List[Section]:
    pictures = sorted(folder.glob('sweep*.png'))
    shown = [Picture(path, 'Score by share of images added, one line per pool size.')
             for path in pictures]  # fmt: skip
    return [Section('selection', 'How many images, of how many candidates', pictures=shown)]


def _counts(record: Mapping[str, Any]) -> List[ReportTable]:
    """Images of every class in each part of each fold."""
    counts, classes = record.get('class_counts'), (record.get('protocol') or {}).get('classes')
    if not counts or not classes:
        return []
    rows = []
    for fold in range(len(counts['train'])):
        for part in PARTS:
            own = counts[part][fold]
            if any(own):
                cells = {f'class{i}': int(n) for i, n in enumerate(own)}
                rows.append(dict(fold=fold + 1, part=part, group=fold, all=sum(own), **cells))
    columns = [Column('fold', 'Fold'), Column('part', 'Part')]
    columns += [Column(f'class{i}', name) for i, name in enumerate(classes)]
    return [ReportTable('Real images by class', [*columns, Column('all', 'All')], rows)]


def _facts(folder: Path, record: Mapping[str, Any]) -> List[Tuple[str, str]]:
    protocol, identity = record.get('protocol') or {}, record.get('identity') or {}
    plan = read_json(folder / 'folds.json') or {}
    data = protocol.get('data') or {}
    groups = {s.get('group') for s in plan.get('samples', ()) if s.get('group')}
    facts: List[Tuple[str, str]] = []
    if data:
        facts.append(('Data folder', Path(str(data.get('data_root'))).name))
        facts.append(('Split', str(data.get('split') or data.get('ann_file') or 'class folders')))
    if plan:
        by = f'{len(groups)} groups, none in two parts' if groups else 'unknown: no column of them'
        facts.append(('Groups (slides, patients)', by))
        facts.append(('Images and folds', f'hash {plan.get("digest")}'))
    for name, value in (identity.get('classifiers') or {}).items():
        facts.append((f'Classifier {name}', f'hash {digest_of(value)}'))
    for key in ('seeds', 'fold_seed', 'epochs', 'steps', 'equal_steps', 'select', 'leak'):
        if protocol.get(key) is not None:
            facts.append((key, str(protocol[key])))
    facts += [(key, str(value)) for key, value in (record.get('environment') or {}).items()
              if value is not None]  # fmt: skip
    return facts
