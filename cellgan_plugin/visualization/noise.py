"""Which differences of a table exceed their noise: only then is a row set in bold."""

import math
import statistics
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from cellgan_plugin.visualization.report_tables import Column

_LEVEL = 0.05  # of the test between the best row and each other one

Row = Dict[str, Any]


@dataclass(frozen=True)
class Noise:
    """How far a number may be from what another run of the same would give.

    Attributes:
        error (float): Standard error of the number.
        freedom (float): Degrees of freedom of the error; infinite for that of an evaluation.
    """

    error: float
    freedom: float = math.inf


def noise_of_trainings(values: Sequence[Optional[float]]) -> Optional[Noise]:
    """Noise of a mean over trainings; None for a single one."""
    values = [value for value in values if value is not None]
    if len(values) < 2:
        return None
    return Noise(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1)


def noise_of_intervals(intervals: Sequence[Optional[Tuple[float, float]]]) -> Optional[Noise]:
    """Noise of a mean of numbers with 95 % intervals of their own; None where one has none."""
    if not intervals or any(pair is None for pair in intervals):
        return None
    errors = [(high - low) / (2 * 1.959964) for low, high in intervals]
    return Noise(math.sqrt(sum(error**2 for error in errors)) / len(errors))


def differ(a: float, b: float, of_a: Optional[Noise], of_b: Optional[Noise]) -> bool:
    """Welch's test at 5 %, two-sided; False where the noise of one is not known."""
    from scipy import stats  # slow to import, and needed at the end alone

    if of_a is None or of_b is None:
        return False
    variance = of_a.error**2 + of_b.error**2
    if not variance:
        return a != b
    parts = [noise.error**4 / noise.freedom for noise in (of_a, of_b)]
    freedom = variance**2 / sum(parts) if sum(parts) else math.inf
    return 2 * stats.t.sf(abs(a - b) / math.sqrt(variance), freedom) < _LEVEL


def _number(cell: Any) -> Optional[float]:
    return cell[0] if isinstance(cell, tuple) else cell


def differ_by_noise(
    noise: Mapping[Tuple[str, str], Optional[Noise]], name: str
) -> Callable[[Row, Row, str], bool]:
    """:func:`differ` of two rows in a column.

    Args:
        noise (Mapping): By name of a row and key of a column.
        name (str): Key of the rows' names.
    """

    def differs(a: Row, b: Row, key: str) -> bool:
        of = [noise.get((row[name], key)) for row in (a, b)]
        return differ(_number(a[key]), _number(b[key]), *of)

    return differs


def mark_undecided(
    rows: Sequence[Row],
    columns: Sequence[Column],
    differs: Callable[[Row, Row, str], bool],
    barred: Callable[[Row], bool] = lambda row: False,
) -> bool:
    """Say of every column whose best row is not known that it has none (``row['not_best']``).

    Args:
        rows (Sequence[dict]): Of a table, changed in place; those of one ``group`` are compared.
        columns (Sequence[Column]): Of the table.
        differs (Callable): Whether two rows differ by more than noise in the column of a key.
        barred (Callable): Whether a row is best in nothing. Defaults to none.

    Returns:
        bool: Whether some column has a best row.
    """
    groups: Dict[Any, list] = {}
    for row in rows:
        groups.setdefault(row.get('group'), []).append(row)
    decided = False
    for column in columns:
        if column.better is None:
            continue
        key, choose = column.key, min if column.better == 'lower' else max
        for own in groups.values():
            known = [row for row in own if _number(row.get(key)) is not None]
            if len(known) > 1:
                best = choose(known, key=lambda row: _number(row[key]))
                others = [row for row in known if row is not best]
                if not barred(best) and all(differs(best, row, key) for row in others):
                    decided = True
                    continue
            for row in own:
                row.setdefault('not_best', []).append(key)
    return decided
