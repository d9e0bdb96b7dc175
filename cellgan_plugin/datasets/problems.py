"""What can be wrong with a data set, in one form for the training error and the checker's table."""

import logging
from collections import Counter
from typing import Iterable, List, NamedTuple, Sequence, Union

from mmengine.logging import print_log

ERROR = 'error'  # training would fail or learn something wrong
WARNING = 'warning'  # training works; a person should know
NOTE = 'note'  # for the record

SEVERITIES = (ERROR, WARNING, NOTE)
_SHOWN_IN_EXCEPTION = 8


def printable(text: object) -> str:
    """``text`` without control characters or undecodable bytes, safe for any terminal and log."""
    shown = ''.join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    return shown.encode('utf-8', 'backslashreplace').decode('utf-8')


class Problem(NamedTuple):
    """One finding.

    Attributes:
        severity (str): ``'error'``, ``'warning'`` or ``'note'``.
        kind (str): A short name that equal findings share, e.g. ``'truncated'``.
        where (str): The file, folder, row or class.
        message (str): What is wrong, what was expected, what to do next.
    """

    severity: str
    kind: str
    where: str
    message: str

    def __str__(self) -> str:
        return f'{printable(self.where)}: {printable(self.message)}'


class DatasetError(ValueError):
    """A data set that cannot be trained on as it is.

    Args:
        problems (Iterable[Problem] | str): The errors. A string is the report of a loader worker,
            which torch makes an exception of the same type from; its message is kept.
        title (str): First line of the message.

    Attributes:
        problems (list[Problem]): Every error found, not only those shown in the message.
    """

    def __init__(
        self,
        problems: Union[Iterable[Problem], str],
        title: str = 'The data set cannot be used',
    ):
        self.title = title
        self.problems: List[Problem] = []
        if isinstance(problems, str):
            # A worker's report is its traceback, which ends with the message made below.
            super().__init__(problems.rpartition(f'{type(self).__name__}: ')[2].strip())
            return
        self.problems += problems
        count = len(self.problems)
        lines = [f'{title} ({count} problem{"s" if count > 1 else ""}):']
        lines += [f'  - {problem}' for problem in self.problems[:_SHOWN_IN_EXCEPTION]]
        if count > _SHOWN_IN_EXCEPTION:
            lines.append(f'  ... and {count - _SHOWN_IN_EXCEPTION} more')
        lines.append('`python tools/check_dataset.py CONFIG` lists every problem in one table.')
        super().__init__('\n'.join(lines))

    def __reduce__(self):
        # Exceptions cross from loader workers by pickling; the default would lose the arguments.
        return type(self), (self.problems or str(self), self.title)


def raise_or_say(problems: Sequence[Problem], root: str) -> None:
    """Raise all errors at once; log warnings and notes, once per kind.

    Args:
        problems (Sequence[Problem]): Findings.
        root (str): Folder of the data set, for the message.

    Raises:
        DatasetError: When there is an error among them.
    """
    errors = [problem for problem in problems if problem.severity == ERROR]
    if errors:
        raise DatasetError(errors, f'The data set in {root} cannot be used')
    counts = Counter(problem.kind for problem in problems)
    for problem in problems:
        count = counts.pop(problem.kind, 0)
        if count:
            more = f' ({count} such files)' if count > 1 else ''
            print_log(f'Data set: {problem}{more}', 'current', logging.WARNING)
