"""Which images are asked for: classes, numbers and seeds, as words and as rows."""

import re
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.errors import SynthesisError

MAX_SEED = 2**62
MAX_IMAGES = 10**7  # of one folder; their list alone takes 1 GB


def parse_seeds(text: str) -> List[int]:
    """Seeds from words: ``17``, ``0-1999``, ``3,5,10-19``.

    Raises:
        SynthesisError: For anything else, or a seed that is named twice.
    """
    seeds: List[int] = []
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d+)\s*(?:-\s*(\d+)\s*)?', part)
        if match is None:
            raise SynthesisError(f'seeds {text!r}: write 17, 0-1999 or 3,5,10-19')
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise SynthesisError(f'seeds {part!r}: the first must not be above the last')
        check_number(last - first + 1 + len(seeds))
        seeds.extend(range(first, last + 1))
    return check_seeds(seeds)


def check_number(images: int) -> None:
    """SynthesisError for more images than a folder can have."""
    if images > MAX_IMAGES:
        raise SynthesisError(
            f'{images:,} images are asked for, and at most {MAX_IMAGES:,} go into one folder: ask '
            'for fewer, or make several folders (--seeds 0-999999, --seeds 1000000-1999999, ...)'
        )


def check_seeds(seeds: Iterable[int]) -> List[int]:
    """Seeds as a list; SynthesisError when there is none, or one twice, negative or too large."""
    seeds = [int(seed) for seed in seeds]
    if not seeds or min(seeds) < 0 or max(seeds) > MAX_SEED or len(set(seeds)) != len(seeds):
        raise SynthesisError('seeds must be whole numbers from 0 on, each once, at least one')
    return seeds


def parse_classes(words: Sequence[str]) -> Dict[str, Optional[int]]:
    """Numbers of single classes from words: ``HSIL=5000,NILM=0``, or ``HSIL`` for the usual number.

    Args:
        words (Sequence[str]): Separated by commas, spaces or both.

    Raises:
        SynthesisError: For a number that is none, or a class named twice.
    """
    numbers: Dict[str, Optional[int]] = {}
    for word in (w.strip() for part in words for w in part.split(',') if w.strip()):
        name, equals, number = word.partition('=')
        if not name or (equals and not re.fullmatch(r'\d+', number)):
            raise SynthesisError(f'classes {word!r}: write NAME=NUMBER, e.g. HSIL=5000, or NAME')
        if name in numbers:
            raise SynthesisError(f'class {name} is named twice')
        numbers[name] = int(number) if equals else None
    return numbers


def wanted_rows(
    classes: Sequence[str],
    per_class: Optional[int] = None,
    numbers: Optional[Dict[str, Optional[int]]] = None,
    seeds: Optional[Iterable[int]] = None,
) -> List[Tuple[int, int]]:
    """The images that are asked for.

    Every class gets the first ``per_class`` of the seeds, all of them where ``per_class`` is None;
    classes in ``numbers`` get as many as that says. When only ``numbers`` says anything of how
    many, the classes that it does not name get none. Seeds count from 0 where none are given.

    Args:
        classes (Sequence[str]): Of the model.
        per_class (int, optional): Images of each class. Defaults to None.
        numbers (dict, optional): Class name (any known spelling) to number, or to None for the
            usual number. Defaults to None.
        seeds (Iterable[int], optional): Defaults to None.

    Returns:
        list[tuple[int, int]]: (label, seed), by class.

    Raises:
        SynthesisError: Unknown class, too few seeds, nothing at all.
    """
    numbers = dict(numbers or {})
    chosen = None if seeds is None else check_seeds(seeds)
    if per_class is None and chosen is None and not any(numbers.values()):
        raise SynthesisError(
            'how many images? Say per_class (--per-class 2000), seeds (--seeds 0-1999), or numbers '
            'of single classes (--classes HSIL=5000)'
        )
    if per_class is not None and per_class < 0:
        raise SynthesisError(f'per_class={per_class}: must be 0 or more')
    usual = len(chosen) if per_class is None and chosen is not None else per_class
    others = 0 if numbers and per_class is None else usual

    wanted: Dict[str, int] = dict.fromkeys(classes, others or 0)
    seen: Dict[str, str] = {}
    for spelling, number in numbers.items():
        name = resolve_class(spelling, classes)
        if name is None:
            raise SynthesisError(f'class {spelling!r}: the model knows {", ".join(classes)}')
        if name in seen:
            raise SynthesisError(f'{seen[name]!r} and {spelling!r} are the same class {name}')
        seen[name] = spelling
        if number is None and usual is None:
            raise SynthesisError(f'class {spelling}: how many? Write {spelling}=NUMBER')
        wanted[name] = usual if number is None else int(number)
    if chosen is not None and max(wanted.values()) > len(chosen):
        name = max(wanted, key=wanted.get)
        raise SynthesisError(
            f'{wanted[name]} images of {name}, but only {len(chosen)} seeds: give more seeds '
            '(--seeds FIRST-LAST) or fewer images'
        )
    check_number(sum(wanted.values()))
    rows = [
        (label, seed)
        for label, name in enumerate(classes)
        for seed in (range(wanted[name]) if chosen is None else chosen[: wanted[name]])
    ]
    if not rows:
        raise SynthesisError('no image is asked for: every class has the number 0')
    return rows
