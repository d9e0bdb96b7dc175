"""What experiments of many jobs share: plan -> jobs -> results -> tables, in one folder."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.local import run_jobs
from cellgan_plugin.jobs.outcome import JobResult
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


class Experiment:
    """An experiment that was checked when it was made, and can be run.

    Attributes:
        out_dir (Path): Work directory.
    """

    out_dir: Path

    def describe(self) -> str:
        """Images, arms and jobs as text, for a person to read before anything runs."""
        raise NotImplementedError

    def jobs(self) -> List[Job]:
        """Write what the jobs read, and make the jobs."""
        raise NotImplementedError

    def write(self, jobs: Optional[Mapping[str, JobResult]] = None) -> List[Path]:
        """Write tables and pictures of what is done.

        Args:
            jobs (Mapping[str, JobResult], optional): Of :meth:`run`: why jobs failed. Defaults to
                None.

        Returns:
            list[Path]: The files.
        """
        raise NotImplementedError

    def table(self) -> str:
        """The written tables, in Markdown."""
        raise NotImplementedError

    def run(
        self,
        workers: Optional[int] = None,
        devices: Optional[Sequence[Union[int, str]]] = None,
        launcher: str = 'local',
        slurm_options: Optional[Mapping[str, Any]] = None,
    ) -> Dict[str, JobResult]:
        """Run what is not done yet; see :func:`~cellgan_plugin.jobs.local.run_jobs`."""
        return run_jobs(self.jobs(), workers, devices, launcher, slurm_options)

    def conduct(self, *where: Any) -> Dict[str, JobResult]:
        """Say what it is, :meth:`run` it, and write and print its tables, also when interrupted."""
        print(self.describe(), flush=True)
        try:
            results = self.run(*where)
        except KeyboardInterrupt:
            self.write()
            raise
        files = self.write(results)
        print('\n' + self.table())
        print('Written: ' + ', '.join(str(path) for path in files), flush=True)
        return results
