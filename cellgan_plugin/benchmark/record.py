"""What decides the results of a benchmark, written down and compared with what is asked for."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Union

from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.files import atomic_write
from cellgan_plugin.runs.config_values import plain

RECORD_NAME = 'benchmark.json'


@dataclass
class Record:
    """What decides the results of a folder, written to ``benchmark.json`` before the first job.

    Attributes:
        common (dict): What every job depends on.
        classifiers (dict): Name -> identity.
        arms (dict): Name -> identity.
        said (dict): What a reader wants to know beside: the protocol, the counts, the versions.
    """

    common: Dict[str, Any]
    classifiers: Dict[str, Any]
    arms: Dict[str, Any]
    said: Dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Union[str, Path]) -> Path:
        """Write ``benchmark.json``; classifiers and arms of earlier calls stay on record."""
        path = Path(folder) / RECORD_NAME
        if path.is_file():
            before = Record.read(folder)
            self = replace(
                self,
                classifiers={**before.classifiers, **self.classifiers},
                arms={**before.arms, **self.arms},
            )
        with atomic_write(path, 'w', encoding='utf-8') as file:
            identity = dict(common=self.common, classifiers=self.classifiers, arms=self.arms)
            value = dict(self.said, identity=identity)
            json.dump(plain(value), file, indent=1, ensure_ascii=False)
        return path

    @classmethod
    def read(cls, folder: Union[str, Path]) -> 'Record':
        """Read ``benchmark.json``; ProtocolError when it is something else."""
        path = Path(folder) / RECORD_NAME
        try:
            value = json.loads(path.read_text(encoding='utf-8'))
            identity = value.pop('identity')
            return cls(said=value, **identity)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(
                f'{path} is not the record of a benchmark ({error}); use another work directory'
            ) from None

    def check_same(self, folder: Union[str, Path]) -> None:
        """Raise ProtocolError when a folder holds results of another protocol, saying what differs.

        Further classifiers and arms are welcome.
        """
        if not (Path(folder) / RECORD_NAME).is_file():
            return
        before = Record.read(folder)
        found = differences(before.common, plain(self.common))
        for what in ('classifiers', 'arms'):
            old, new = getattr(before, what), plain(getattr(self, what))
            for name in old.keys() & new.keys():
                found += [f'{name}: {text}' for text in differences(old[name], new[name])]
        if found:
            raise ProtocolError(
                f'{folder} holds the results of another protocol:\n'
                + '\n'.join(f'  - {text}' for text in found[:12])
                + ('\n  - ...' if len(found) > 12 else '')
                + '\nUse another --work-dir, or delete this one.'
            )


def differences(old: Any, new: Any, where: str = '') -> List[str]:
    """Where two plain values differ, one line each: ``epochs: 30 there, 10 now``."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            name = f'{where}.{key}' if where else str(key)
            if key not in old or key not in new:
                found.append(f'{name}: {"only now" if key in new else "only there"}')
            else:
                found += differences(old[key], new[key], name)
        return found
    if old == new:
        return []
    return [f'{where}: {_short(old)} there, {_short(new)} now']


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + '...'
