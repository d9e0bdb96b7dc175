"""Checks of the arguments that generators and discriminators share."""

from typing import Any, Sequence


def check_at_least(least: int, **arguments: int) -> None:
    """ValueError for the first argument, given by its name, that is smaller than ``least``."""
    for name, value in arguments.items():
        if value < least:
            raise ValueError(f'{name}={value!r}: must be at least {least}')


def check_one_of(allowed: Sequence[Any], **arguments: Any) -> None:
    """ValueError for the first argument, given by its name, that is not among ``allowed``."""
    for name, value in arguments.items():
        if value not in allowed:
            raise ValueError(f'{name}={value!r}: must be one of {tuple(allowed)}')
