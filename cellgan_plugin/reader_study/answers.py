"""Answers of readers, checked against the key: a file may come from anywhere."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Union

from cellgan_plugin.reader_study.draw import ReaderStudyError
from cellgan_plugin.reader_study.make import FORMAT, KEY_NAME
from cellgan_plugin.records import read_json

_MOST_BYTES = 20_000_000
_REMARK = 2000  # characters
_MOST_SECONDS = 1e9  # what is longer is no time of a reader


@dataclass(frozen=True)
class Answers:
    """What one reader said.

    Attributes:
        reader (str): Name, as typed.
        answers (dict): Item -> ``real`` (bool), ``label`` (str), ``quality`` (1 to 5), ``choice``
            (0, 1, or -1 for a tie), ``remark`` (str), ``seconds`` (float): those that were given.
    """

    reader: str
    answers: Dict[str, Dict[str, Any]]


def read_key(folder: Union[str, Path]) -> Dict[str, Any]:
    """The key of a study.

    Raises:
        ReaderStudyError: There is none, or it is damaged.
    """
    key = read_json(Path(folder) / KEY_NAME)
    if key is None or key.get('format') != FORMAT:
        raise ReaderStudyError(
            f'{folder} has no {KEY_NAME} of a reader study: give the folder that '
            'tools/reader_study.py make wrote'
        )
    return key


def read_answers(path: Union[str, Path], key: Mapping[str, Any]) -> Answers:
    """Read one reader's file.

    Args:
        path (str | Path): As downloaded from the page.
        key (Mapping): Of :func:`read_key`.

    Raises:
        FileNotFoundError: No such file.
        ReaderStudyError: It is damaged, of another study, or has an answer that the page does not
            offer; the message names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no file {path}')
    if path.stat().st_size > _MOST_BYTES:
        raise ReaderStudyError(f'{path} has more than {_MOST_BYTES} bytes: no file of answers')
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ReaderStudyError(f'{path} is damaged ({error}): ask for it again') from None
    if not isinstance(found, dict) or found.get('format') != FORMAT:
        raise ReaderStudyError(f'{path} is no file of answers that the page of a study wrote')
    if found.get('study') != key['study']:
        raise ReaderStudyError(
            f'{path} is of study {found.get("study")!r}, the key of {key["study"]!r}: each page '
            'has its own key'
        )
    reader, answers = found.get('reader'), found.get('answers')
    if not isinstance(reader, str) or not reader.strip() or not isinstance(answers, dict):
        raise ReaderStudyError(f'{path}: "reader" or "answers" is missing')
    checked = {}
    for item, own in answers.items():
        if item not in key['items'] or not isinstance(own, dict):
            raise ReaderStudyError(f'{path}: image {item!r} is not of this study')
        checked[item] = _checked(own, key, f'{path}, image {item}')
    return Answers(reader.strip()[:80], checked)


def offered_answers(key: Mapping[str, Any]) -> Dict[str, List[Any]]:
    """Question of a study's page -> the answers that it offers."""
    if key['mode'] == 'groups':
        return dict(choice=[0, 1, -1])
    return dict(real=[True, False], label=list(key['classes']), quality=[1, 2, 3, 4, 5])


def _checked(own: Mapping[str, Any], key: Mapping[str, Any], where: str) -> Dict[str, Any]:
    offered = offered_answers(key)
    found: Dict[str, Any] = {}
    for name in ('real', 'label', 'quality', 'choice'):
        if own.get(name) is None:
            continue
        value, values = own[name], offered.get(name, [])  # none where the page does not ask it
        # True is 1 in Python: kinds are compared, too.
        if not any(value == v and type(value) is type(v) for v in values):
            raise ReaderStudyError(f'{where}: {name} {value!r} is none of {values}')
        found[name] = value
    if isinstance(own.get('remark'), str) and own['remark'].strip():
        found['remark'] = ' '.join(own['remark'].split())[:_REMARK]
    if isinstance(own.get('seconds'), (int, float)) and 0 <= own['seconds'] < _MOST_SECONDS:
        found['seconds'] = float(own['seconds'])
    return found


def read_all(paths: Sequence[Union[str, Path]], key: Mapping[str, Any]) -> List[Answers]:
    """Files of several readers.

    Raises:
        ReaderStudyError: See :func:`read_answers`; two files of one reader; none at all.
    """
    if not paths:
        raise ReaderStudyError('no file of answers was given')
    found: Dict[str, Answers] = {}
    for path in paths:
        own = read_answers(path, key)
        if own.reader in found:
            raise ReaderStudyError(
                f'{path}: there are answers of {own.reader!r} already; give the later file alone, '
                'or rename the reader in one'
            )
        found[own.reader] = own
    return list(found.values())
