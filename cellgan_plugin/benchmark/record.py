"""What decides the results of a benchmark's folder."""

from pathlib import Path
from typing import Any, Dict, Mapping, Union

from cellgan_plugin.records import FolderRecord, merged, plain


class ExperimentRecord:
    """The record of the folder of an experiment, written before its first job.

    Entries of parts that grow (arms, classifiers, runs) may be added by later calls, and those of
    earlier calls stay on record; everything else must be equal.

    Args:
        folder (str | Path): Work directory.
        name (str): File of the record.
        identity (Mapping): What decides the results, as values that can be compared.
        grows (Sequence[str]): Parts of ``identity`` that grow.

    Raises:
        RecordError: The folder holds results that something else decided; the message says what.
    """

    def __init__(
        self, folder: Union[str, Path], name: str, identity: Mapping[str, Any], *grows: str
    ):
        self._record = FolderRecord(folder, name, shared=True, can_overwrite=False)
        self.identity: Dict[str, Any] = plain(identity)
        self._record.check(dict(identity=identity), [f'identity.{part}' for part in grows])

    def write(self, said: Mapping[str, Any]) -> Path:
        """Write the record, with what a reader wants to know beside."""
        before = (self._record.read() or {}).get('identity')
        return self._record.write(dict(plain(said), identity=merged(before, self.identity)))
