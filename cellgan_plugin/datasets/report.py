"""What the checker of a data set found: as text, as files, as pictures."""

import csv
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_sizes import size_table
from cellgan_plugin.datasets.problems import ERROR, SEVERITIES, Problem, printable
from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.contact_sheet import image_grid
from cellgan_plugin.visualization.tables import as_cell

_SHEET_COLUMNS = 8
_ERRORS_PER_KIND = 20
# A data set with one remark on every file has a property, not a list of mistakes.
_WARNINGS_PER_KIND = 5


@dataclass
class DatasetReport:
    """What :func:`check_dataset` found.

    Attributes:
        root (str): Folder of the (training) data set.
        classes (tuple[str]): Class names in the order of the labels.
        counts (dict[str, Counter]): Number of usable images: split -> class -> number.
        sizes (Counter): (width, height) of the files -> number.
        class_sizes (dict[str, Counter]): The same by class.
        scales (dict[str, float]): Median factor by class by which the converter, as far as the
            manifest says it, and the pipeline scale the images.
        problems (list[Problem]): Every finding, errors first.
        examples (dict[str, list[np.ndarray]]): Some images per class, as training sees them.
        notes (list[str]): Further lines of the report.
    """

    root: str
    classes: Tuple[str, ...]
    counts: Dict[str, Counter] = field(default_factory=dict)
    sizes: Counter = field(default_factory=Counter)
    class_sizes: Dict[str, Counter] = field(default_factory=dict)
    scales: Dict[str, float] = field(default_factory=dict)
    problems: List[Problem] = field(default_factory=list)
    examples: Dict[str, List[np.ndarray]] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)

    @property
    def harmful(self) -> bool:
        """Whether training would fail or learn something wrong."""
        return any(problem.severity == ERROR for problem in self.problems)

    def of_kind(self, kind: str) -> List[Problem]:
        """The problems of one kind, e.g. ``'truncated'``."""
        return [problem for problem in self.problems if problem.kind == kind]

    def order_problems(self) -> None:
        """Each finding once, errors first."""
        order = {severity: rank for rank, severity in enumerate(SEVERITIES)}
        self.problems = sorted(dict.fromkeys(self.problems), key=lambda p: order[p.severity])

    def to_text(self) -> str:
        """The report as plain text: problems, class balance, sizes, verdict."""
        lines = [f'Data set {printable(self.root)}', '', *self._problem_lines(), '']
        splits = list(self.counts)
        width = max(len(name) for name in (*self.classes, 'class'))
        lines.append('class'.ljust(width) + ''.join(f'{s or "images":>10}' for s in splits))
        for name in self.classes:
            numbers = ''.join(f'{self.counts[split][name]:>10}' for split in splits)
            lines.append(f'{name:<{width}}{numbers}')
        by_class = {name: self.class_sizes.get(name, Counter()) for name in self.classes}
        lines += ['', *size_table(self.sizes, by_class, self.scales)]
        lines += ['', *self.notes] if self.notes else []
        numbers = Counter(problem.severity for problem in self.problems)
        summary = ', '.join(f'{numbers[severity]} {severity}s' for severity in SEVERITIES)
        verdict = 'NOT READY: training would be harmed' if self.harmful else 'ready for training'
        return '\n'.join([*lines, '', f'{summary}: {verdict}'])

    def _problem_lines(self) -> Iterator[str]:
        if not self.problems:
            yield 'No problem found.'
            return
        kind_width = max(len(problem.kind) for problem in self.problems)
        shown: Counter = Counter()
        totals = Counter((problem.severity, problem.kind) for problem in self.problems)
        yield f'{"severity":<9}{"kind":<{kind_width + 2}}where: what'
        for problem in self.problems:
            key = (problem.severity, problem.kind)
            limit = _ERRORS_PER_KIND if problem.severity == ERROR else _WARNINGS_PER_KIND
            shown[key] += 1
            start = f'{problem.severity:<9}{problem.kind:<{kind_width + 2}}'
            if shown[key] <= limit:
                yield f'{start}{problem}'
            elif shown[key] == limit + 1:
                yield f'{start}... and {totals[key] - limit} more (problems.csv has all)'

    def save(self, folder: Union[str, Path]) -> List[Path]:
        """Write ``report.txt``, ``problems.csv`` and a sheet ``<class>.png`` per class.

        The folder is made when missing. Returns the files written.
        """
        folder = Path(folder)
        written = [folder / 'report.txt', folder / 'problems.csv']
        with atomic_write(written[0], 'w', encoding='utf-8') as file:
            file.write(self.to_text() + '\n')
        with atomic_write(written[1], 'w', encoding='utf-8', newline='') as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(Problem._fields)
            writer.writerows([as_cell(printable(v)) for v in problem] for problem in self.problems)
        for name, images in self.examples.items():
            if images:
                path = folder / f'{name.replace(os.sep, "_")}.png'
                write_png(path, self.sheet(name))
                written.append(path)
        return written

    def sheet(self, name: str) -> np.ndarray:
        """Contact sheet of one class, uint8 RGB."""
        images = self.examples[name]
        starts = range(0, len(images), _SHEET_COLUMNS)
        rows = [images[start : start + _SHEET_COLUMNS] for start in starts]
        return image_grid(rows, row_titles=[name, *[''] * (len(rows) - 1)])


def groups_in_two_splits(
    images: Iterable[Tuple[str, str, str]], severity: str
) -> Iterator[Problem]:
    """Groups whose images lie in several splits.

    Args:
        images (Iterable[tuple[str, str, str]]): Group ('' for none), split and path of each.
        severity (str): Of the findings.
    """
    splits_of: Dict[str, Dict[str, str]] = defaultdict(dict)  # group -> split -> first file
    for group, split, path in images:
        if group:
            splits_of[group].setdefault(split, path)
    for group, splits in splits_of.items():
        if len(splits) > 1:
            files = ', '.join(f'{path} ({split or "train"})' for split, path in splits.items())
            # A published split may be kept on purpose: then nothing is advised.
            advice = '. Keep each group on one side' if severity == ERROR else ''
            message = (
                f'group {group!r} (one slide, field or patient) is in splits {list(splits)}: '
                f'{files}{advice}'
            )
            yield Problem(severity, 'group in two splits', next(iter(splits.values())), message)


def in_two_splits(where: str, same: str, first: str, second: str) -> Problem:
    """An image that is in two splits; ``same`` says what it is equal to."""
    splits = [split or 'train' for split in (first, second)]
    message = f'{same}, in split {splits[0]!r} and again in {splits[1]!r}; keep one'
    return Problem(ERROR, 'two splits', where, message)
