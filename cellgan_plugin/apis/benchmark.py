"""Does it help a classifier: what ``tools/benchmark.py`` does, for a notebook."""

import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import torch
from mmengine.config import Config

from cellgan_plugin.apis.benchmark_job import CURVES_NAME, PREDICTIONS_NAME
from cellgan_plugin.apis.benchmark_plan import (
    Cell,
    classifier_cells,
    classifier_job,
    listed_name,
    real_parts,
    record_of,
    write_real_lists,
)
from cellgan_plugin.apis.benchmark_settings import SettingBuilder
from cellgan_plugin.apis.test import git_revision
from cellgan_plugin.downstream.benchmark_tables import (
    TITLES,
    class_table,
    main_table,
    results_dict,
    statistics_table,
)
from cellgan_plugin.downstream.classifier_run import read_classifier, starting_weights
from cellgan_plugin.downstream.collect import SHOWN, Outcome, Results, collect, read_outcome
from cellgan_plugin.downstream.fold_plan import FoldPlan
from cellgan_plugin.downstream.folds import plan_folds, plan_splits
from cellgan_plugin.downstream.leak import LeakReport, check_leak, refuse_leaks, training_images_of
from cellgan_plugin.downstream.predictions import PredictionError
from cellgan_plugin.downstream.protocol import Protocol, Record
from cellgan_plugin.downstream.scores import ScoreError
from cellgan_plugin.downstream.synthetic import HashCache, Setting, real_samples
from cellgan_plugin.engine.jobs import Job, JobResult, run_jobs
from cellgan_plugin.files import atomic_write
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.benchmark_figures import (
    draw_boxes,
    draw_confusions,
    draw_learning_curves,
)
from cellgan_plugin.visualization.report_tables import write_report_table

FOLDS_NAME = 'folds.json'
RESULTS_NAME = 'results.json'
TABLE = 'table'


class Benchmark:
    """A benchmark that was checked and can be run.

    Making one reads and hashes the real images, plans the folds, looks at every generator and
    refuses what would not be fair; nothing is trained, and only the cache of hashes is written.

    Args:
        protocol (Protocol): See :func:`~cellgan_plugin.downstream.protocol.read_protocol`.
        out_dir (str | Path): Work directory, a new one or that of the same protocol.

    Attributes:
        plan (FoldPlan): The folds.
        settings (list[Setting]): Rows of the table, the real images alone first.
        classifiers (dict[str, Config]): By name.
        cells (list[Cell]): All trainings of classifiers.
        reports (list[LeakReport]): One per generator, and per fold where it is trained per fold.

    Raises:
        DatasetError: Images that cannot be used.
        FoldError: Classes that cannot be divided.
        LeakError: A generator was trained on test images, or on unknown ones.
        ProtocolError: A mistake in the protocol, or ``out_dir`` holds another one.
    """

    def __init__(self, protocol: Protocol, out_dir: Union[str, Path]):
        self.protocol = protocol
        self.out_dir = Path(out_dir)
        self.classifiers: Dict[str, Config] = {
            name: read_classifier(path) for name, path in protocol.classifiers.items()
        }
        cache = HashCache(self.out_dir)
        samples = real_samples(protocol.data, protocol.classes, cache)
        common = dict(per_class=protocol.per_class, seed=protocol.fold_seed)
        if protocol.ratios:
            self.plan: FoldPlan = plan_splits(
                samples, protocol.classes, protocol.ratios, protocol.num_folds, **common
            )
        else:
            self.plan = plan_folds(samples, protocol.classes, protocol.num_folds, **common)
        self._lists = self.out_dir / 'lists'
        self._real = real_parts(self.plan, protocol.data, self._lists)
        self._builder = SettingBuilder(
            protocol, self.plan, samples, self._real, self.out_dir, cache
        )
        self.settings: List[Setting] = self._builder.build()
        self.reports: List[LeakReport] = self._builder.reports
        if protocol.leak == 'refuse':
            refuse_leaks(self.reports)
        self.record: Record = record_of(protocol, self.plan, self.settings, self.classifiers)
        self.record.check_same(self.out_dir)
        self.cells: List[Cell] = classifier_cells(
            protocol, self.plan, self.settings, self.classifiers, self.out_dir
        )

    @property
    def setting(self) -> Dict[str, Setting]:
        """Settings by name."""
        return {setting.name: setting for setting in self.settings}

    def describe(self) -> str:
        """Folds, settings and jobs as text, for a person to read before anything runs."""
        lines = [self.plan.to_text(), '']
        for setting in self.settings:
            added = round(sum(setting.counts) / len(setting.counts))
            lines.append(f'{setting.shown}: {added} synthetic images added to each fold')
        lines += [f'- {note}' for note in self.notes() if note not in self.plan.notes]
        steps = [cell.iterations for cell in self.cells]
        lines.append(
            f'{len(self.cells)} trainings of classifiers ({len(self.classifiers)} classifiers x '
            f'{len(self.settings)} settings x {len(self.plan.folds)} folds x '
            f'{len(self.protocol.seeds)} seeds), {min(steps)} to {max(steps)} steps each; '
            f'{len(self._builder.jobs)} jobs that make synthetic images'
        )
        return '\n'.join(lines)

    def notes(self) -> List[str]:
        """What a reader of the tables has to know."""
        protocol = self.protocol
        notes: List[str] = []
        for setting in self.settings:
            notes += [f'LEAK: {text}' for text in setting.leaks if text]
        if protocol.leak == 'paper':
            notes.append(
                'Paper protocol (CellGAN, Sec. 3.3): one generator for all folds, whose training '
                'images may be test images of the classifiers'
            )
        per_class = 'all' if protocol.per_class is None else f'{protocol.per_class}'
        how = f'{len(self.plan.folds)} stratified folds'
        if protocol.ratios:
            how = f'{len(self.plan.folds)} splits {":".join(map(str, protocol.ratios))}'
        seeds = f', {len(protocol.seeds)} trainings per fold' if len(protocol.seeds) > 1 else ''
        notes.append(
            f'{per_class} real images per class, {how}{seeds}; mean ± standard deviation over '
            'folds, in percent'
        )
        if protocol.equal_steps:
            notes.append('All settings train for the same number of optimizer steps')
        else:
            notes.append(
                f'{protocol.epochs} epochs each: settings with more images train for more steps '
                '(--equal-steps makes them equal)'
            )
        chosen = dict(last='final weights', best='weights of the best validation accuracy')
        notes.append(f'Test images are predicted once, with the {chosen[protocol.select]}')
        for name, config in self.classifiers.items():
            weights = starting_weights(config)
            start = f'starts from {", ".join(weights)}' if weights else 'starts from random weights'
            notes.append(f'{name}: {start}')
        for setting in self.settings:
            notes += setting.notes
        return [*notes, *self.plan.notes]

    @property
    def title(self) -> str:
        """Of the tables; says so when results may be too good."""
        title = self.protocol.title
        if self.protocol.leak == 'paper':
            title += ' (paper protocol: one generator for all folds)'
        if any(setting.leaks for setting in self.settings):
            title += ' - LEAK, see the notes'
        return title

    def _shown(self, setting: Setting) -> str:
        return f'{setting.shown} (LEAK)' if setting.leaks else setting.shown

    def jobs(self) -> List[Job]:
        """Write what the jobs read, and make the jobs."""
        said = dict(
            title=self.title,
            protocol=asdict(self.protocol),
            notes=self.notes(),
            leaks=[report.to_dict() for report in self.reports],
            class_counts={
                part: self.plan.class_counts(part).tolist() for part in ('train', 'val', 'test')
            },
            environment=dict(
                cellgan_plugin=__version__,
                git=git_revision(),
                torch=torch.__version__,
                python=platform.python_version(),
                started=time.strftime('%Y-%m-%dT%H:%M:%S'),
            ),
        )
        self.record.said = said
        self.record.write(self.out_dir)
        _write_json(self.out_dir / FOLDS_NAME, self.plan.to_dict())
        write_real_lists(self.plan, self.protocol.data, self._lists)
        self._builder.write()
        setting = self.setting
        return [
            *self._builder.jobs,
            *(
                classifier_job(
                    cell,
                    self.classifiers[cell.classifier],
                    setting[cell.setting],
                    self._real[cell.fold],
                    self.protocol,
                    self.record,
                )
                for cell in self.cells
            ),
        ]

    def run(
        self,
        workers: Optional[int] = None,
        devices: Optional[Sequence[Union[int, str]]] = None,
        launcher: str = 'local',
        slurm_options: Optional[Mapping[str, object]] = None,
    ) -> Dict[str, JobResult]:
        """Run what is not done yet; see :func:`~cellgan_plugin.engine.jobs.run_jobs`."""
        return run_jobs(self.jobs(), workers, devices, launcher, slurm_options)

    # Results ------------------------------------------------------------------------------------

    def results(self, jobs: Optional[Mapping[str, JobResult]] = None) -> Results:
        """Score what is done.

        Args:
            jobs (Mapping[str, JobResult], optional): Of :meth:`run`: why jobs failed. Defaults to
                None.
        """
        names = {
            index: listed_name(sample, self.protocol.data)
            for index, sample in enumerate(self.plan.samples)
        }
        outcomes = []
        for cell in self.cells:
            outcome = Outcome(cell.classifier, cell.setting, cell.fold, cell.seed, cell.iterations)
            path = cell.work_dir / PREDICTIONS_NAME
            if path.is_file():
                try:
                    read_outcome(outcome, path, self.plan, names)
                except (PredictionError, ScoreError) as error:
                    outcome.message = str(error)
            else:
                outcome.message = _reason((jobs or {}).get(cell.job))
            outcomes.append(outcome)
        self._check_what_was_made()
        return collect(
            self.plan,
            outcomes,
            {setting.name: self._shown(setting) for setting in self.settings},
            {s.name: sum(s.counts) / len(s.counts) for s in self.settings},
            self.title,
            self.notes(),
        )

    def _check_what_was_made(self) -> None:
        """Look again at what the images drawn here say of their generator's training."""
        for setting in self.settings:
            if setting.leaks or not any(setting.needs):
                continue
            for fold, part in enumerate(setting.parts):
                root = Path(part['data_root'])
                trained_on = training_images_of(root) if root.is_dir() else None
                report = check_leak(self.plan, setting.name, trained_on, fold)
                if report.found:
                    setting.leaks.append(report.summary())

    def write(self, jobs: Optional[Mapping[str, JobResult]] = None) -> List[Path]:
        """Write tables and pictures of what is done.

        Args:
            jobs (Mapping[str, JobResult], optional): See :meth:`results`.

        Returns:
            list[Path]: The files, the Markdown table first.
        """
        results = self.results(jobs)
        out = self.out_dir
        files = write_report_table(out, TABLE, main_table(results))
        files += write_report_table(out, 'statistics', statistics_table(results))
        files += write_report_table(out, 'per_class', class_table(results))
        files.append(_write_json(out / RESULTS_NAME, results_dict(results)))
        values: Dict[str, Dict[str, Dict[str, Any]]] = {metric: {} for metric in SHOWN}
        for row in results.rows:
            for metric in SHOWN:
                by_setting = values[metric].setdefault(row.classifier, {})
                by_setting[results.shown[row.setting]] = row.values[metric]
        files.append(draw_boxes(out / 'boxes.png', values, TITLES, results.title))
        matrices = {
            (row.classifier, results.shown[row.setting]): row.confusion for row in results.rows
        }
        files.append(
            draw_confusions(out / 'confusion.png', matrices, self.plan.classes, results.title)
        )
        files.append(
            draw_learning_curves(out / 'learning_curves.png', self._curves(results), results.title)
        )
        return files

    def _curves(self, results: Results) -> Dict[str, Dict[str, List[dict]]]:
        curves: Dict[str, Dict[str, List[dict]]] = {}
        for cell in self.cells:
            path = cell.work_dir / CURVES_NAME
            if path.is_file():
                by_setting = curves.setdefault(cell.classifier, {})
                found = json.loads(path.read_text(encoding='utf-8'))
                by_setting.setdefault(results.shown[cell.setting], []).append(found)
        return curves

    def table(self) -> str:
        """The written table, in Markdown."""
        return (self.out_dir / f'{TABLE}.md').read_text(encoding='utf-8')


def _reason(result: Optional[JobResult]) -> str:
    """Why a job is not done, in one line for the notes of a table."""
    if result is None or result.ok:
        return 'not run yet'
    lines = [line.strip() for line in result.message.splitlines() if line.strip()]
    if result.state == 'skipped' or len(lines) < 2:
        return lines[0] if lines else result.state
    errors = [line for line in lines[1:] if 'error' in line.lower()]
    return f'{lines[0].split(";")[0]}: {(errors or lines)[-1]}'


def _write_json(path: Path, value: Any) -> Path:
    with atomic_write(path, 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
    return path


def benchmark(
    protocol: Protocol,
    out_dir: Union[str, Path],
    workers: Optional[int] = None,
    devices: Optional[Sequence[Union[int, str]]] = None,
    launcher: str = 'local',
    slurm_options: Optional[Mapping[str, object]] = None,
) -> Dict[str, JobResult]:
    """Run a benchmark and write its tables and pictures.

    Args:
        protocol (Protocol): See :func:`~cellgan_plugin.downstream.protocol.read_protocol`.
        out_dir (str | Path): Work directory; the same call continues what was interrupted.
        workers (int, optional): See :func:`~cellgan_plugin.engine.jobs.run_jobs`, as the others.
        devices (Sequence, optional): Defaults to None.
        launcher (str): 'local' or 'slurm'. Defaults to 'local'.
        slurm_options (Mapping, optional): Defaults to None.

    Returns:
        dict[str, JobResult]: What became of every job; the tables show what failed.

    Raises:
        See :class:`Benchmark`. KeyboardInterrupt: the jobs have saved, the same call goes on.
    """
    found = Benchmark(protocol, out_dir)
    print(found.describe(), flush=True)
    results = found.run(workers, devices, launcher, slurm_options)
    files = found.write(results)
    print(found.table())
    print('Written: ' + ', '.join(str(path) for path in files), flush=True)
    return results
