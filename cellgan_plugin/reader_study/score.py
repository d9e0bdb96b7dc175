"""Score a reader study: tables, record and page."""

from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.files import write_json
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.reader_study.agreement import (
    WEIGHTS,
    Proportion,
    cohens_kappa,
    fleiss_kappa,
    proportion,
)
from cellgan_plugin.reader_study.answers import Answers, offered_answers, read_all, read_key
from cellgan_plugin.reader_study.draw import ReaderStudyError, pixels_of
from cellgan_plugin.reader_study.make import PAGE_NAME
from cellgan_plugin.reader_study.shown import shown_images
from cellgan_plugin.visualization.page import PAGE_NAME as REPORT_NAME
from cellgan_plugin.visualization.page import Picture, Section, write_page
from cellgan_plugin.visualization.report_tables import Column, ReportTable, write_report_table

ALL = 'all readers'
_MOST_PICTURES = 40
_INTERVAL = (
    'Intervals are exact binomial ones (Clopper and Pearson); p is against one half, which is what '
    'guessing gives. Answers of one reader are taken for independent; the row of all readers '
    'counts every image once per reader, so its interval is too narrow where readers agree.'
)


@writes_folder('folder')
def score_reader_study(
    folder: Union[str, Path],
    answers: Sequence[Union[str, Path]],
    weights: str = 'linear',
) -> Dict[str, Any]:
    """Score the answers of readers, and write tables and ``report.html`` into the study's folder.

    Args:
        folder (str | Path): Of :func:`~cellgan_plugin.reader_study.make.make_reader_study`.
        answers (Sequence[str | Path]): One file per reader.
        weights (str): Of kappa with the label, by the order of the classes: 'linear', 'quadratic'
            or 'none'. Defaults to 'linear'.

    Returns:
        dict: ``readers`` (rows of the first table), ``agreement``, ``remarks``, ``files``.

    Raises:
        ReaderStudyError: See :func:`~cellgan_plugin.reader_study.answers.read_answers`.
    """
    if weights not in WEIGHTS:
        raise ReaderStudyError(f'weights {weights!r}: one of {WEIGHTS}')
    folder = Path(folder)
    key = read_key(folder)
    readers = read_all(answers, key)
    single = key['mode'] == 'images'
    tables = dict(
        readers=reader_table(key, readers) if single else choice_table(key, readers),
        classes=class_table(key, readers),
    )
    if single:
        tables['labels'] = label_table(key, readers, weights)
        tables['quality'] = quality_table(key, readers)
    tables['agreement'] = agreement_table(key, readers)
    remarks = remark_table(key, readers)
    tables['remarks'] = remarks
    files: List[Path] = []
    for stem, table in tables.items():
        if table.rows:
            files += write_report_table(folder, stem, table)
    found = dict(
        study=key['study'],
        weights=weights,
        readers=tables['readers'].rows,
        classes=tables['classes'].rows,
        labels=tables['labels'].rows if single else [],
        agreement=tables['agreement'].rows,
        remarks=remarks.rows,
    )
    files.append(write_json(folder / 'scores.json', found))
    sections = _sections(folder, key, readers, tables)
    files.append(write_page(folder / REPORT_NAME, key['title'], sections))
    return dict(found, files=[str(path) for path in files])


def right_answers(key: Mapping[str, Any], reader: Answers) -> Dict[str, bool]:
    """Item -> whether the reader told real from synthetic; ties of groups are left out."""
    found = {}
    for item, own in reader.answers.items():
        known = key['items'][item]
        if 'real' in own:
            found[item] = own['real'] == (known['origin'] == 'real')
        elif own.get('choice', -1) >= 0:
            found[item] = own['choice'] == known['real_side']
    return found


def _right(key: Mapping[str, Any], reader: Answers, label: Optional[str] = None) -> Tuple[int, int]:
    """Right answers and all, of one class or of every one."""
    found = [right for item, right in right_answers(key, reader).items()
             if label in (None, key['items'][item]['label'])]  # fmt: skip
    return sum(found), len(found)


def _cells(found: Proportion) -> Dict[str, Any]:
    if found.value is None:
        return dict(accuracy=None, interval=None, p=None, answered=0)
    return dict(
        answered=found.count,
        accuracy=100 * found.value,
        low=100 * found.low,
        high=100 * found.high,
        interval=f'{100 * found.low:.1f} to {100 * found.high:.1f}',
        p='< 0.001' if found.p < 0.001 else f'{found.p:.3f}',
    )


_ACCURACY = (
    Column('answered', 'Answered'),
    Column('accuracy', 'Right (%)', 1),
    Column('interval', '95 % interval'),
    Column('p', 'p'),
)


def _by_reader(
    readers: Sequence[Answers], count: Callable[[Answers], Tuple[int, int]]
) -> List[Tuple[str, Proportion]]:
    """Proportions of every reader, and of all together where there are several."""
    pairs = [(reader.reader, *count(reader)) for reader in readers]
    rows = [(name, proportion(right, total)) for name, right, total in pairs]
    if len(rows) > 1:
        right, total = (sum(pair[i] for pair in pairs) for i in (1, 2))
        rows.append((ALL, proportion(right, total)))
    return rows


def reader_table(key: Mapping[str, Any], readers: Sequence[Answers]) -> ReportTable:
    """Real or synthetic: accuracy of every reader, and what they take for real."""
    items = key['items']

    def taken(reader: Answers, origin: str) -> Tuple[int, int]:
        said = [own['real'] for item, own in reader.answers.items()
                if 'real' in own and items[item]['origin'] == origin]  # fmt: skip
        return sum(said), len(said)

    rows = []
    real, fake = (dict(_by_reader(readers, lambda r, o=o: taken(r, o)))
                  for o in ('real', 'synthetic'))  # fmt: skip
    for name, found in _by_reader(readers, lambda reader: _right(key, reader)):
        row = dict(reader=name, group=name == ALL, **_cells(found))
        for column, side in (('real', real[name]), ('fake', fake[name])):
            row[column] = None if side.value is None else 100 * side.value
        rows.append(row)
    columns = [
        Column('reader', 'Reader'),
        *_ACCURACY,
        Column('real', 'Real taken for real (%)', 1),
        Column('fake', 'Synthetic taken for real (%)', 1),
    ]
    return ReportTable('Real or synthetic', columns, rows, [_INTERVAL])


def choice_table(key: Mapping[str, Any], readers: Sequence[Answers]) -> ReportTable:
    """Groups: how often a reader chose the real one, the synthetic one, or a tie."""
    ties = {r.reader: sum(own.get('choice') == -1 for own in r.answers.values()) for r in readers}
    ties[ALL] = sum(ties.values())
    rows = []
    for name, found in _by_reader(readers, lambda reader: _right(key, reader)):
        row = dict(reader=name, group=name == ALL, ties=ties[name], **_cells(found))
        row.update(real=found.right, fake=found.count - found.right)
        rows.append(row)
    columns = [
        Column('reader', 'Reader'),
        Column('real', 'Chose the real group'),
        Column('fake', 'Chose the synthetic group'),
        Column('ties', 'Ties'),
        *_ACCURACY,
    ]
    note = 'Ties are left out of the share and its interval.'
    return ReportTable('Which group looks more like real images', columns, rows, [note, _INTERVAL])


def class_table(key: Mapping[str, Any], readers: Sequence[Answers]) -> ReportTable:
    """Real or synthetic by class and reader."""
    rows = []
    for name in key['classes']:
        for reader, found in _by_reader(readers, lambda r, name=name: _right(key, r, name)):
            rows.append(dict(label=name, reader=reader, group=name, **_cells(found)))
    columns = [Column('label', 'Class'), Column('reader', 'Reader'), *_ACCURACY]
    return ReportTable('Real or synthetic, by class', columns, rows)


def label_table(key: Mapping[str, Any], readers: Sequence[Answers], weights: str) -> ReportTable:
    """Class as the reader sees it against the label, for real and for synthetic images."""
    index = {name: i for i, name in enumerate(key['classes'])}
    rows = []
    for reader in readers:
        for origin in ('real', 'synthetic'):
            pairs = [(index[key['items'][item]['label']], index[own['label']])
                     for item, own in reader.answers.items()
                     if 'label' in own and key['items'][item]['origin'] == origin]  # fmt: skip
            truth, said = zip(*pairs, strict=True) if pairs else ((), ())
            found = proportion(sum(a == b for a, b in pairs), len(pairs))
            cells = _cells(found)
            cells.pop('p')
            row = dict(reader=reader.reader, origin=origin, group=reader.reader, **cells)
            row['kappa'] = cohens_kappa(truth, said, len(index), weights)
            if row['kappa'] is None:
                row['kappa_why'] = 'no kappa: no answers, or one class alone'
            rows.append(row)
    columns = [Column('reader', 'Reader'), Column('origin', 'Images'), *_ACCURACY[:3]]
    columns.append(Column('kappa', 'Weighted kappa' if weights != 'none' else 'Kappa', 3))
    note = f"Kappa: agreement with the label beyond chance, {weights} weights by the classes' order"
    return ReportTable('Class against the label', columns, rows, [note])


def quality_table(key: Mapping[str, Any], readers: Sequence[Answers]) -> ReportTable:
    """Quality from 1 to 5 of real and of synthetic images, mean and deviation over images."""
    rows = []
    for reader in readers:
        values: Dict[str, List[int]] = defaultdict(list)
        for item, own in reader.answers.items():
            if 'quality' in own:
                values[key['items'][item]['origin']].append(own['quality'])
        row: Dict[str, Any] = dict(reader=reader.reader)
        for origin, column in (('real', 'real'), ('synthetic', 'fake')):
            own = values[origin]
            spread = float(np.std(own, ddof=1)) if len(own) > 1 else None
            row[column] = (float(np.mean(own)), spread) if own else None
        rows.append(row)
    columns = [Column('reader', 'Reader'), Column('real', 'Real'), Column('fake', 'Synthetic')]
    return ReportTable('Quality (1 to 5)', columns, rows)


def agreement_table(key: Mapping[str, Any], readers: Sequence[Answers]) -> ReportTable:
    """Cohen's kappa of every pair of readers, and Fleiss' of all."""
    titles = dict(real='Real or synthetic', label='Class', quality='Quality', choice='Group')
    rows: List[Dict[str, Any]] = []
    for name, values in offered_answers(key).items():
        pairs = [(' and '.join(r.reader for r in pair), pair) for pair in combinations(readers, 2)]
        for who, of in [*pairs, *([(ALL, readers)] if len(readers) > 1 else [])]:
            ratings = _ratings(key, of, name, values)
            row = dict(question=titles[name], readers=who, images=len(ratings), group=name)
            if who == ALL:
                row.update(measure="Fleiss'", kappa=fleiss_kappa(ratings, len(values)))
            else:
                row.update(measure="Cohen's", kappa=cohens_kappa(*ratings.T, len(values)))
            if row['kappa'] is None:
                row['kappa_why'] = 'no kappa: no common answers, or one category alone'
            rows.append(row)
    columns = [
        Column('question', 'Question'),
        Column('readers', 'Readers'),
        Column('measure', 'Kappa'),
        Column('images', 'Answered by all of them'),
        Column('kappa', 'Value', 3),
    ]
    return ReportTable('Agreement between readers', columns, rows)


def _ratings(
    key: Mapping[str, Any], readers: Sequence[Answers], question: str, values: Sequence[Any]
) -> np.ndarray:
    """Number of every reader's answer to a question, int64 (N, R), where all have answered it."""
    common = [item for item in key['items']
              if all(question in r.answers.get(item, {}) for r in readers)]  # fmt: skip
    found = [[values.index(r.answers[item][question]) for r in readers] for item in common]
    return np.array(found, dtype=np.int64).reshape(len(common), len(readers))


def remark_table(key: Mapping[str, Any], readers: Sequence[Answers]) -> ReportTable:
    """What readers said of single images, by image."""
    rows = []
    for item, known in key['items'].items():
        for reader in readers:
            remark = reader.answers.get(item, {}).get('remark')
            if remark:
                rows.append(
                    dict(
                        item=item,
                        origin=known.get('origin', 'both'),
                        label=known['label'],
                        reader=reader.reader,
                        remark=remark,
                    )
                )
    columns = [
        Column('item', 'Image'),
        Column('origin', 'Origin'),
        Column('label', 'Class'),
        Column('reader', 'Reader'),
        Column('remark', 'Remark'),
    ]
    return ReportTable('Remarks', columns, rows)


def summary(table: ReportTable, single: bool) -> Tuple[str, str]:
    """The first sentence of the page, and its tone."""
    row = table.rows[-1]
    if row['accuracy'] is None:
        return 'No reader told real from synthetic: nothing is answered.', 'open'
    low, high = row['low'], row['high']
    seen = f'{row["accuracy"]:.1f} % right (95 % interval {row["interval"]}), guessing gives 50 %.'
    who = 'Readers tell' if row['reader'] == ALL else f'{row["reader"]} tells'
    if low > 50:
        return f'{who} real from synthetic: {seen}', 'bad'
    if high < 50:
        what = 'images' if single else 'groups'
        return f'Synthetic {what} are taken for real more often than real ones: {seen}', 'open'
    who = 'readers' if row['reader'] == ALL else row['reader']
    return f'No evidence that {who} can tell real from synthetic: {seen}', 'good'


def _sections(
    folder: Path,
    key: Mapping[str, Any],
    readers: Sequence[Answers],
    tables: Mapping[str, ReportTable],
) -> List[Section]:
    single = key['mode'] == 'images'
    said, tone = summary(tables['readers'], single)
    caution = (
        'The interval says how few answers this rests on: one that reaches from 40 to 60 leaves '
        'room for readers who can tell some of them.'
    )
    total = len(key['items'])
    seconds = [own['seconds'] for r in readers for own in r.answers.values() if 'seconds' in own]
    facts = [
        ('Study', key['study']),
        ('Shown', f'{total} {"images" if single else "pairs of groups"}, {key["size"][0]} x '
                  f'{key["size"][1]} pixels, encoded alike, in an order by seed {key["seed"]}'),
        ('Readers', ', '.join(f'{r.reader} ({len(r.answers)} of {total})' for r in readers)),
        ('Median time', f'{np.median(seconds):.1f} s' if seconds else 'not known'),
        ('cellgan_plugin', key['cellgan_plugin']),
    ]  # fmt: skip
    shown = [t for name, t in tables.items() if t.rows and name not in ('readers', 'remarks')]
    return [
        Section('verdict', 'Verdict', [said, caution], tone=tone),
        Section('table', tables['readers'].title, tables=[tables['readers']]),
        Section('readers', 'Classes and agreement', tables=shown),
        Section(
            'readers',
            'Remarks',
            tables=[tables['remarks']] if tables['remarks'].rows else [],
            pictures=_remarked(folder, key, tables['remarks']),
        ),
        Section('protocol', 'Protocol', facts=facts),
    ]


def _remarked(folder: Path, key: Mapping[str, Any], remarks: ReportTable) -> List[Picture]:
    """The images that were remarked on, where the page is still there."""
    images: Optional[Dict[str, List[str]]] = shown_images(folder / PAGE_NAME)
    if images is None:
        return []
    by_item: Dict[str, List[str]] = {}
    for row in remarks.rows:
        by_item.setdefault(row['item'], []).append(f'{row["reader"]}: {row["remark"]}')
    pictures = []
    for item, said in list(by_item.items())[:_MOST_PICTURES]:
        own = [pixels_of(address) for address in images.get(item, ())]
        if own:
            origin = key['items'][item].get('origin', 'left, then right')
            caption = f'Image {item} ({origin}, {key["items"][item]["label"]}): {"; ".join(said)}'
            pictures.append(Picture(np.concatenate(own, axis=1), caption))
    return pictures
