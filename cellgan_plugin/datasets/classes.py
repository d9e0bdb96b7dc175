"""Class names: what can be one, and which class a spelling means."""

import re
import unicodedata
from collections import Counter
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.files import is_hidden

# CellGAN, Sec. 3.1: the order of Table 1.
BETHESDA_CLASSES: Tuple[str, ...] = ('NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL')

# Other names of the Bethesda classes; read but never written. Keys are folded (see _fold).
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

# A class name is a folder, a file name with something behind it, a cell of a table, a title.
MAX_CHARACTERS, MAX_BYTES = 100, 200
_BAD_LETTERS = '/\\:*?"<>|${}'  # separators, what Windows refuses, LaTeX, placeholders of configs
_BAD_STARTS = '=+-@#'  # formulas of spreadsheets, options of a command line, comments of lists
_FILE_NAME = re.compile(
    r'\.(csv|json|jsonl|txt|md|tex|pth|tmp|log|lock|jpe?g|jpe|jfif|png|bmp|tiff?|webp)', re.I
)
_DEVICE = re.compile(r'(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.I)
_JOINERS = '\u200c\u200d'  # letters of Persian and of Indian scripts need them
_SEPARATORS = re.compile(r'(?<=[^\W_])[-_\s]+(?=[^\W_])')


def clean_name(text: str) -> str:
    """A name as it is compared: composed Unicode (NFC), without space around it."""
    return nfc(text).strip()


def _between(match: 're.Match[str]') -> str:
    """What stays of a separator: nothing, but "2-3" is not 23."""
    before, after = match.string[match.start() - 1], match.string[match.end()]
    return ' ' if before.isdigit() and after.isdigit() else ''


def _fold(name: str) -> str:
    """What two spellings share when they differ in case and in separators inside alone.

    Every other sign stays: ``ER+`` is not ``ER-``, ``1.0`` not ``10``, ``-1`` not ``1``.
    """
    return _SEPARATORS.sub(_between, nfc(clean_name(name).casefold()))


def resolve_class(name: str, classes: Sequence[str] = BETHESDA_CLASSES) -> Optional[str]:
    """Find which of ``classes`` a spelling means.

    The name itself always wins. Case and ``-``, ``_`` or spaces inside may differ (``ASC_US``,
    ``ascus`` and ``asc us`` are ``ASC-US``) where exactly one class is meant, and a table of the
    long Bethesda terms is known. Nothing else is forgiven.

    Of a whole source (folders, a table) use :class:`Spellings`, which finds two spellings of one
    class.

    Args:
        name (str): The spelling found in a folder name or a manifest.
        classes (Sequence[str]): The class names of the configuration. Defaults to the five of
            the paper.

    Returns:
        str | None: The class name as ``classes`` spells it, or None when no class is meant.
    """
    spelling = clean_name(name)
    for candidate in classes:
        if clean_name(candidate) == spelling:
            return candidate
    folded = _fold(spelling)
    alike = [candidate for candidate in classes if _fold(candidate) == folded]
    if not alike and folded in _ALIASES:
        alike = [c for c in classes if _fold(c) == _fold(_ALIASES[folded])]
    return alike[0] if len(alike) == 1 else None


class Spellings:
    """The spellings met in one source, each looked up once.

    Args:
        classes (Sequence[str]): The class names of the configuration.
    """

    def __init__(self, classes: Sequence[str]):
        self.classes = tuple(classes)
        self._known: Dict[str, Optional[str]] = {}
        self.counts: Counter = Counter()

    def find(self, spelling: str) -> Optional[str]:
        """The class that a spelling means, or None; every call counts one image."""
        if spelling not in self._known:
            self._known[spelling] = resolve_class(spelling, self.classes)
        self.counts[spelling] += 1
        return self._known[spelling]

    def _of_class(self) -> Dict[str, List[str]]:
        found: Dict[str, List[str]] = {}
        for spelling, name in self._known.items():
            others = found.setdefault(name, [])
            if name is not None and clean_name(spelling) not in map(clean_name, others):
                others.append(spelling)
        return found

    def clashes(self) -> Iterator[Tuple[str, str]]:
        """Classes that two spellings would fall into, and what to say of each."""
        for name, spellings in self._of_class().items():
            if len(spellings) > 1:
                said = ' and '.join(f'{s!r} ({self.counts[s]} images)' for s in spellings)
                yield name, f'{said} would all be class {name!r}'

    def forgiven(self) -> Iterator[Tuple[str, str]]:
        """Spellings that are not the class name itself, and the class each is read as."""
        for name, spellings in self._of_class().items():
            yield from ((s, name) for s in spellings if clean_name(s) != clean_name(name))


def _flaw_of(name: str) -> str:
    """Why a text cannot be a class name; '' when it can."""
    odd = [c for c in name if not c.isprintable() and c not in _JOINERS]
    if odd:
        what = unicodedata.name(odd[0], 'a control character')
        return f'holds U+{ord(odd[0]):04X} ({what.lower()}), which cannot be seen'
    if not any(c.isalnum() for c in name):
        return 'has no letter or digit'
    if len(name) > MAX_CHARACTERS or len(name.encode('utf-8')) > MAX_BYTES:
        return (
            f'has {len(name)} letters; up to {MAX_CHARACTERS} ({MAX_BYTES} bytes) fit a file name'
        )
    bad = [c for c in _BAD_LETTERS if c in name]
    if bad:
        return f'holds {bad[0]!r}, which folders, tables or configs read as something else'
    if name[0] in _BAD_STARTS:
        return f'begins with {name[0]!r}, which spreadsheets or command lines would run or skip'
    if is_hidden(name) or name.endswith('.') or _DEVICE.fullmatch(name):
        return 'is a name that file systems or this program keep for themselves'
    if _FILE_NAME.fullmatch(name[name.rfind('.') :] if '.' in name else ''):
        return 'reads as a file; class folders lie beside manifest.csv and its like'
    return ''


def check_class_names(classes: Iterable[str]) -> Tuple[str, ...]:
    """The one rule for class names, applied wherever they are read.

    Args:
        classes (Iterable[str]): The names.

    Returns:
        tuple[str]: The names in composed Unicode, without space around them.

    Raises:
        ValueError: There is none, one cannot be a folder, a table cell or a title, or two are the
            same but for case and separators.
    """
    names = tuple(classes)
    if not names:
        raise ValueError('classes is empty: name at least one class')
    checked: List[str] = []
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f'class name {name!r} is not a text with letters or digits')
        cleaned = clean_name(name)
        flaw = _flaw_of(cleaned)
        if flaw:
            shown = cleaned if len(cleaned) <= 60 else f'{cleaned[:60]}...'
            raise ValueError(f'class name {ascii(shown) if "U+" in flaw else repr(shown)} {flaw}; '
                             'rename it')  # fmt: skip
        twin = next((c for c in checked if _fold(c) == _fold(cleaned)), None)
        if twin is not None:
            raise ValueError(
                f'classes {twin!r} and {cleaned!r} are the same but for case and separators; '
                'name each class once'
            )
        checked.append(cleaned)
    return tuple(checked)
