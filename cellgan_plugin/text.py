"""Text for terminals."""

from typing import List, Sequence


def in_columns(rows: Sequence[Sequence[str]]) -> List[str]:
    """Lines of equal columns: the first column to the left, the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        '  '.join([row[0].ljust(first), *map(str.rjust, row[1:], others)]).rstrip() for row in rows
    ]
