"""Class names: the five Bethesda classes of the paper and the spellings they are met in."""

import re
from typing import Dict, Iterable, Optional, Sequence, Tuple

# CellGAN, Sec. 3.1: the order of Table 1.
BETHESDA_CLASSES: Tuple[str, ...] = ('NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL')

# Spellings that are read but never written. Keys are folded (see _fold).
_ALIASES: Dict[str, str] = {
    'negative': 'NILM',
    'normal': 'NILM',
    'negativeforintraepitheliallesion': 'NILM',
    'negativeforintraepitheliallesionormalignancy': 'NILM',
    'lowgradesquamousintraepitheliallesion': 'LSIL',
    'highgradesquamousintraepitheliallesion': 'HSIL',
    'squamouscellcarcinoma': 'SCC',
    'carcinoma': 'SCC',
}


def _fold(name: str) -> str:
    return re.sub(r'[^0-9a-z]', '', name.casefold())


def resolve_class(name: str, classes: Sequence[str] = BETHESDA_CLASSES) -> Optional[str]:
    """Find which of ``classes`` a spelling means.

    Case, hyphens, underscores and spaces do not matter (``ASC_US``, ``ascus`` and ``asc us`` are
    ``ASC-US``), and the long Bethesda terms are known. An exact match always wins.

    Args:
        name (str): The spelling found in a folder name or a manifest.
        classes (Sequence[str]): The class names of the configuration. Defaults to the five of
            the paper.

    Returns:
        str | None: The class name as ``classes`` spells it, or None when no class is meant.
    """
    if name in classes:
        return name
    by_fold = {_fold(candidate): candidate for candidate in classes}
    folded = _fold(name)
    if folded in by_fold:
        return by_fold[folded]
    alias = _ALIASES.get(folded)
    return by_fold.get(_fold(alias)) if alias is not None else None


def check_class_names(classes: Iterable[str]) -> Tuple[str, ...]:
    """Return ``classes`` as a tuple; raise ValueError when empty or two names read the same."""
    classes = tuple(classes)
    if not classes:
        raise ValueError('classes is empty: name at least one class')
    seen: Dict[str, str] = {}
    for name in classes:
        if not isinstance(name, str) or not _fold(name):
            raise ValueError(f'class name {name!r} is not a word of letters or digits')
        if _fold(name) in seen:
            raise ValueError(
                f'classes {seen[_fold(name)]!r} and {name!r} are the same but for case and '
                'punctuation; name each class once'
            )
        seen[_fold(name)] = name
    return classes
