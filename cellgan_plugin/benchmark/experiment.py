"""A benchmark that was checked: its jobs, what came of them, its tables."""

import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Set, Union

from mmengine.config import Config

from cellgan_plugin.benchmark import shortcuts
from cellgan_plugin.benchmark.arms import ArmBuilder
from cellgan_plugin.benchmark.classifier_run import (
    check_classifier,
    read_classifier,
    starting_weights,
)
from cellgan_plugin.benchmark.collect import BenchmarkResults, Outcome, collect, read_outcome
from cellgan_plugin.benchmark.generators import fit_size
from cellgan_plugin.benchmark.job_files import KEPT_NAME, PREDICTIONS_NAME, WEIGHTS_NAME
from cellgan_plugin.benchmark.leak import (
    NOT_SEEN,
    LeakReport,
    check_leak,
    near_copies,
    refuse_leaks,
)
from cellgan_plugin.benchmark.plan import (
    ClassifierRun,
    classifier_job,
    classifier_runs,
    listed_name,
    make_plan,
    real_parts,
    record_of,
    write_real_lists,
)
from cellgan_plugin.benchmark.predictions import PredictionError
from cellgan_plugin.benchmark.protocol import REAL, Protocol
from cellgan_plugin.benchmark.report import TABLE, write_report
from cellgan_plugin.benchmark.scores import ScoreError
from cellgan_plugin.benchmark.selection_rows import check_selection
from cellgan_plugin.benchmark.synthetic import Arm, HashCache
from cellgan_plugin.datasets.manifest import iter_manifest
from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.outcome import JobResult, reason_of
from cellgan_plugin.runs.experiment import Experiment, ExperimentRecord
from cellgan_plugin.runs.provenance import training_groups_of, training_images_of
from cellgan_plugin.runs.test import software

RECORD_NAME = 'benchmark.json'
FOLDS_NAME = 'folds.json'


class Benchmark(Experiment):
    """A benchmark that was checked and can be run.

    Making one reads and hashes the real images, plans the folds, looks at every generator and
    refuses what would not be fair; nothing is trained, and only the cache of hashes is written.

    Args:
        protocol (Protocol): See :func:`~cellgan_plugin.benchmark.protocol.read_protocol`.
        out_dir (str | Path): Work directory, a new one or that of the same protocol.
        cache (HashCache, optional): Of image contents. Defaults to None: in ``out_dir``.

    Attributes:
        plan (FoldPlan): The folds.
        arms (list[Arm]): Rows of the table, the real images alone first.
        classifiers (dict[str, Config]): By name.
        planned_runs (list[ClassifierRun]): All trainings of classifiers.
        reports (list[LeakReport]): One per generator, and per fold where it is trained per fold.

    Raises:
        DatasetError: Images that cannot be used.
        ConfigError: A classifier or a transform cannot be built.
        FoldError: Classes that cannot be divided.
        LeakError: A generator was trained on test images, or on unknown ones.
        ProtocolError: A mistake in the protocol.
        RecordError: ``out_dir`` holds the results of another one.
    """

    def __init__(
        self, protocol: Protocol, out_dir: Union[str, Path], cache: Optional[HashCache] = None
    ):
        self.protocol = protocol
        self.out_dir = Path(out_dir)
        self.classifiers: Dict[str, Config] = {
            name: read_classifier(path) for name, path in protocol.classifiers.items()
        }
        for config in self.classifiers.values():
            fit_size(config, protocol.data)
        check_selection(protocol, self.classifiers)
        self._cache = cache = cache or HashCache(self.out_dir)
        self._compared: Set[str] = set()  # arms whose drawn images were compared with the real ones
        samples, self.plan = make_plan(protocol, cache)
        self._lists = self.out_dir / 'lists'
        self._real = real_parts(self.plan, protocol.data, self._lists)
        self._builder = ArmBuilder(
            protocol, self.plan, samples, self._real, self.out_dir, cache, self.classifiers
        )
        self.arms: List[Arm] = self._builder.build()
        self.reports: List[LeakReport] = self._builder.reports
        for config in self.classifiers.values():
            check_classifier(config, protocol.classes, [arm.transforms for arm in self.arms])
        if protocol.leak == 'refuse':
            refuse_leaks(self.reports, protocol.train_generators)
        decides = record_of(protocol, self.plan, self.arms, self.classifiers)
        self.record = ExperimentRecord(self.out_dir, RECORD_NAME, decides, 'classifiers', 'arms')
        self.runs: List[ClassifierRun] = classifier_runs(
            protocol, self.plan, self.arms, self.classifiers, self.out_dir
        )

    @property
    def arm(self) -> Dict[str, Arm]:
        """Arms by name."""
        return {arm.name: arm for arm in self.arms}

    def describe(self) -> str:
        """Folds, arms and jobs as text, for a person to read before anything runs."""
        lines = [self.plan.to_text(), '']
        for arm in self.arms:
            added = round(sum(arm.counts) / len(arm.counts))
            shown = self.protocol.baseline if arm.name == REAL else arm.shown
            lines.append(f'{shown}: {added} synthetic images added to each fold')
        lines += [f'- {note}' for note in self.notes() if note not in self.plan.notes]
        steps = [planned.iterations for planned in self.runs]
        lines.append(
            f'{len(self.runs)} trainings of classifiers ({len(self.classifiers)} classifiers x '
            f'{len(self.arms)} arms x {len(self.plan.folds)} folds x '
            f'{len(self.protocol.seeds)} seeds), {min(steps)} to {max(steps)} steps each; '
            f'{len(self._builder.jobs)} jobs that make or choose synthetic images'
        )
        return '\n'.join(lines)

    def notes(self) -> List[str]:
        """What a reader of the tables has to know."""
        protocol = self.protocol
        notes: List[str] = []
        for arm in self.arms:
            notes += [f'LEAK: {text}' for text in arm.leaks if text]
        if protocol.leak == 'paper':
            notes.append(
                'Paper protocol (CellGAN, Sec. 3.3): one generator for all folds, whose training '
                'images may be test images of the classifiers'
            )
        per_class = 'all' if protocol.per_class is None else f'{protocol.per_class}'
        folds, runs = len(self.plan.folds), len(protocol.seeds)
        how = f'{folds} stratified folds'
        if protocol.fixed_splits:
            how = "the data set's own split"
        elif protocol.ratios:
            many = f'{folds} splits' if folds > 1 else 'one split'
            how = f'{many} {":".join(map(str, protocol.ratios))}'
        seeds = f', {runs} trainings per fold' if runs > 1 else ''
        notes.append(
            f'{per_class} real images per class, {how}{seeds}; mean ± standard deviation over '
            f'{"runs" if folds == 1 else "folds"}, in percent'
        )
        if protocol.selects:
            notes.append(
                f'Images are chosen by {protocol.selecting}, trained on the real training images '
                f'of the {"split" if folds == 1 else "fold"} alone (seed {protocol.seeds[0]})'
            )
        if protocol.steps:
            notes.append(f'All arms train for {protocol.steps} optimizer steps')
        elif protocol.equal_steps:
            notes.append('All arms train for the same number of optimizer steps')
        else:
            notes.append(
                f'{protocol.epochs} epochs each: arms with more images train for more steps '
                '(--equal-steps makes them equal)'
            )
        chosen = dict(last='final weights', best='weights of the best validation accuracy')
        notes.append(f'Test images are predicted once, with the {chosen[protocol.select]}')
        for name, config in self.classifiers.items():
            weights = starting_weights(config)
            start = f'starts from {", ".join(weights)}' if weights else 'starts from random weights'
            notes.append(f'{name}: {start}')
        if self.reports:
            limits = dict.fromkeys(report.limits() for report in self.reports)
            notes += [NOT_SEEN, *filter(None, limits)]
        for arm in self.arms:
            notes += arm.notes
        return [*notes, *self.plan.notes]

    @property
    def title(self) -> str:
        """Of the tables; says so when results may be too good."""
        title = self.protocol.title
        starts = {name: starting_weights(config) for name, config in self.classifiers.items()}
        if not any(starts.values()):
            title += ', classifiers from random weights'
        else:
            each = (
                f'{name} from {", ".join(Path(p).name for p in paths) or "random weights"}'
                for name, paths in starts.items()
            )
            title += f', {"; ".join(each)}'
        if self.protocol.leak == 'paper':
            title += ' (paper protocol: one generator for all folds)'
        if any(arm.leaks for arm in self.arms):
            title += ' - LEAK, see the notes'
        return title

    def _shown(self, arm: Arm) -> str:
        shown = self.protocol.baseline if arm.name == REAL else arm.shown
        return f'{shown} (LEAK)' if arm.leaks else shown

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
                software(),
                python=platform.python_version(),
                started=time.strftime('%Y-%m-%dT%H:%M:%S'),
            ),
        )
        self.record.write(said)
        write_json(self.out_dir / FOLDS_NAME, self.plan.to_dict())
        write_real_lists(self.plan, self.protocol.data, self._lists)
        self._builder.write()
        arm = self.arm
        return [
            *self._builder.jobs,
            *(
                classifier_job(
                    planned,
                    self.classifiers[planned.classifier],
                    arm[planned.arm],
                    self._real[planned.fold],
                    self.protocol,
                    self.record.identity,
                )
                for planned in self.runs
            ),
        ]

    # Results ------------------------------------------------------------------------------------

    def results(self, jobs: Optional[Mapping[str, JobResult]] = None) -> BenchmarkResults:
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
        for planned in self.runs:
            outcome = Outcome(
                planned.classifier, planned.arm, planned.fold, planned.seed, planned.iterations
            )
            path = planned.work_dir / PREDICTIONS_NAME
            if path.is_file():
                try:
                    read_outcome(outcome, path, self.plan, names)
                except (PredictionError, ScoreError) as error:
                    outcome.message = str(error)
            else:
                outcome.message = reason_of((jobs or {}).get(planned.job))
            outcomes.append(outcome)
        self._check_what_was_made()
        return collect(
            self.plan,
            outcomes,
            {arm.name: self._shown(arm) for arm in self.arms},
            {s.name: sum(s.counts) / len(s.counts) for s in self.arms},
            self.title,
            self.notes(),
            self.protocol.metrics,
        )

    def _check_what_was_made(self) -> None:
        """Look again at what the images and classifiers made here say of their training."""
        for arm in self.arms:
            for fold, part in enumerate(arm.parts):
                if part is None:
                    continue
                kept = Path(part['ann_file'])
                if kept.name == KEPT_NAME and kept.is_file():  # filters may keep fewer than asked
                    arm.counts[fold] = sum(1 for _ in iter_manifest(kept))
                root, listed = Path(part['data_root']), Path(part['data_root']) / part['ann_file']
                if arm.leaks or not arm.needs[fold] or not root.is_dir():
                    continue
                rows = iter_manifest(listed) if listed.is_file() else ()
                files = [str(root / row['file']) for _, row in rows]
                if files and arm.name not in self._compared:
                    self._compared.add(arm.name)
                    arm.notes = shortcuts.of_made(arm.notes, arm.name, self.plan.samples, files)
                shown = self._cache.perceptual(files, f'Hashing images of {arm.name}')
                report = check_leak(
                    self.plan,
                    arm.name,
                    training_images_of(root),
                    fold,
                    groups=training_groups_of(root),
                    near=near_copies(self.plan, shown, self._cache),
                )
                if report.found:
                    arm.leaks.append(report.summary())
        for planned in self.runs:
            if not planned.selects or not (planned.work_dir / WEIGHTS_NAME).is_file():
                continue
            trained_on = training_images_of(planned.work_dir)
            report = check_leak(
                self.plan,
                'the classifier that selects',
                trained_on,
                planned.fold,
                groups=training_groups_of(planned.work_dir),
            )
            if report.found:
                for arm in self.arms:
                    if any(arm.parts) and report.summary() not in arm.leaks:
                        arm.leaks.append(report.summary())

    def write(self, jobs: Optional[Mapping[str, JobResult]] = None) -> List[Path]:
        """See :meth:`Experiment.write`."""
        return self.write_results(self.results(jobs))

    def write_results(self, results: BenchmarkResults) -> List[Path]:
        """Write tables, pictures and page of results."""
        return write_report(self.out_dir, self.protocol, results, self.runs, self.arms)

    def table(self) -> str:
        """See :meth:`Experiment.table`."""
        return (self.out_dir / f'{TABLE}.md').read_text(encoding='utf-8')
