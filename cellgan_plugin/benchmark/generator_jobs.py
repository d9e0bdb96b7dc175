"""The jobs that train generators and draw their images."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from mmengine.config import Config

from cellgan_plugin.benchmark.classifier_run import write_run
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.job import Job, module_command
from cellgan_plugin.records import digest_of
from cellgan_plugin.runs.job_program import CONFIG_NAME, DONE_NAME, JOB_NAME
from cellgan_plugin.runs.training_report import training_command

_REPORT_NAME = 'training.json'


class GeneratorJobs:
    """Jobs, and what they read, which is written at the end.

    Args:
        out_dir (Path): Work directory of the benchmark.

    Attributes:
        jobs (list[Job]): In the order in which they were added.
        requests (list): Files of jobs and their content.
    """

    def __init__(self, out_dir: Path):
        self.out_dir = out_dir
        self.jobs: List[Job] = []
        self.requests: List[Tuple[Path, Dict[str, Any]]] = []
        self._runs: List[Tuple[Path, Config]] = []

    def write(self) -> None:
        """Write what the jobs read."""
        for path, config in self._runs:
            write_run(config, path)
        for path, request in self.requests:
            write_json(path, request)

    def draw(
        self,
        generator: str,
        part: str,
        config: str,
        checkpoint: Path,
        counts: Mapping[str, int],
        pool: bool,
        needs: Tuple[str, ...] = (),
    ) -> Tuple[Path, str]:
        """Draw images of a checkpoint.

        Args:
            generator (str): Its name.
            part (str): Fold, or '' for all.
            config (str): Its run.
            checkpoint (Path): Its weights.
            counts (Mapping[str, int]): Images by class.
            pool (bool): Whether these are candidates, of which rows choose.
            needs (tuple[str]): Jobs that come before. Defaults to none.

        Returns:
            tuple: Their folder and the name of the job.
        """
        kind = 'pool' if pool else 'synthesis'
        name = '/'.join(filter(None, (slug(generator), part)))
        out = (self.out_dir / ('pools' if pool else 'synthetic') / name).absolute()
        work_dir = self.out_dir / 'jobs' / kind / name
        path = work_dir / JOB_NAME
        # A pool may be made larger later on.
        done = f'done_{digest_of(dict(counts))[:8]}.json' if pool else DONE_NAME
        request = dict(
            kind='synthesis',
            config=config,
            checkpoint=str(checkpoint.absolute()),
            out=str(out),
            classes=dict(counts),
            done=done,
        )
        self.requests.append((path, request))
        job = Job(
            f'{kind}/{name}',
            module_command('cellgan_plugin.benchmark.job', path.absolute()),
            work_dir,
            work_dir / done,
            needs=needs,
        )
        self.jobs.append(job)
        return out, job.name

    def train(
        self, generator: str, part: str, run: Config, needs: Tuple[str, ...]
    ) -> Tuple[Path, Path, str]:
        """Train a generator, or a stage of one.

        Args:
            generator (str): Its name.
            part (str): Fold and stage, or '' for all.
            run (Config): Gets its work directory.
            needs (tuple[str]): Jobs that come before.

        Returns:
            tuple: The config's file, the work directory and the name of the job.
        """
        name = '/'.join(filter(None, (slug(generator), part)))
        work_dir = self.out_dir / 'generators' / name
        path = (work_dir / CONFIG_NAME).absolute()
        run.work_dir = str(work_dir.absolute())
        self._runs.append((path, run))
        report = (work_dir / _REPORT_NAME).absolute()
        command = training_command(path, run.work_dir, report, '--resume')
        job = Job(f'generator/{name}', command, work_dir, report, needs=needs)
        self.jobs.append(job)
        return path, work_dir, job.name
