"""Where a benchmark's synthetic images come from, what makes them, and whether that is fair."""

import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from mmengine.config import Config

from cellgan_plugin.benchmark import shortcuts
from cellgan_plugin.benchmark.classifier_run import classifier_identity
from cellgan_plugin.benchmark.fold_plan import FoldPlan, Sample
from cellgan_plugin.benchmark.folder_arms import FolderReader
from cellgan_plugin.benchmark.generator_jobs import GeneratorJobs
from cellgan_plugin.benchmark.generators import (
    check_generator_classes,
    evaluated_by,
    inherited_groups,
    inherited_images,
    on_images,
    read_generator,
    read_stages,
    training_identity,
    unjudged,
)
from cellgan_plugin.benchmark.job_files import baseline_job
from cellgan_plugin.benchmark.leak import LeakReport, check_leak, seen_beyond
from cellgan_plugin.benchmark.protocol import Protocol
from cellgan_plugin.benchmark.rows import Generator
from cellgan_plugin.benchmark.selection_rows import RowBuilder
from cellgan_plugin.benchmark.synthetic import (
    Arm,
    HashCache,
    data_folder_patches,
    real_only,
    write_list,
)
from cellgan_plugin.datasets import DatasetError
from cellgan_plugin.datasets.content_hash import group_hashes, to_hex
from cellgan_plugin.datasets.manifest import MANIFEST_NAME
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.records import digest_of, plain
from cellgan_plugin.runs.provenance import training_groups_of, training_images_of
from cellgan_plugin.runs.sampling import Sampling
from cellgan_plugin.runs.trained_model import default_classes

Numbers = Sequence[Sequence[int]]  # images per fold and class


def largest(numbers: Numbers) -> List[int]:
    """Of each class, the most that any fold asks for."""
    return [max(column) for column in zip(*numbers, strict=True)]


class ArmBuilder:
    """Makes the arms of a benchmark, and the jobs that make their images.

    Nothing is written before :meth:`write`, so that every mistake is found first.

    Args:
        protocol (Protocol): The benchmark.
        plan (FoldPlan): Its folds.
        samples (Sequence[Sample]): All real images, also those that were not drawn.
        real (Sequence[Mapping]): Lists of the folds' real images, see
            :func:`~cellgan_plugin.benchmark.plan.real_parts`.
        out_dir (Path): Work directory of the benchmark.
        cache (HashCache): Hashes of image contents.
        classifiers (Mapping[str, Config]): By name.

    Attributes:
        jobs (list[Job]): Train generators and draw images.
        reports (list[LeakReport]): One per generator, and fold where it is trained per fold.
    """

    def __init__(
        self,
        protocol: Protocol,
        plan: FoldPlan,
        samples: Sequence[Sample],
        real: Sequence[Mapping[str, dict]],
        out_dir: Path,
        cache: HashCache,
        classifiers: Mapping[str, Config],
    ):
        self.protocol = protocol
        self.plan = plan
        self.samples = samples
        self.real = real
        self.out_dir = out_dir
        self.cache = cache
        self.classifiers = classifiers
        self._made = GeneratorJobs(out_dir)
        self.reports: List[LeakReport] = []
        self._pools = False  # whether images are candidates, of which rows choose
        self._contents: Dict[str, List[Tuple[int, str]]] = {}  # of folders: label, hash
        self._lists: List[Tuple[Path, Sequence[str], Sequence[str]]] = []

    @property
    def _of(self) -> Tuple[Sequence[str], Mapping[str, Any]]:
        return self.protocol.classes, self.protocol.data

    @property
    def jobs(self) -> List[Job]:
        """See the class."""
        return self._made.jobs

    def build(self) -> List[Arm]:
        """All arms, the real images alone first."""
        arms = [real_only(len(self.plan.folds))]
        if not self.protocol.all_rows:
            each = [self.protocol.synthetic_per_class] * len(self.protocol.classes)
            numbers = [each] * len(self.plan.folds)
            return arms + [self._source(g, numbers) for g in self.protocol.generators]
        self._pools = True
        rows = RowBuilder(self.protocol, self.plan, self.real, self.out_dir, self.classifiers)
        sources = {
            generator.name: self._source(generator, rows.pool_sizes(generator.name))
            for generator in self.protocol.generators
        }
        arms += rows.arms(sources, self._contents)
        self._made.jobs += rows.jobs
        self._made.requests += rows.requests
        return arms

    def _source(self, generator: Generator, numbers: Numbers) -> Arm:
        """The arm of all of a generator's images: ``numbers`` per fold and class."""
        try:
            arm, reports = self._make(generator, numbers)
        except (FileNotFoundError, ValueError) as error:
            if isinstance(error, (DatasetError, ProtocolError)):
                raise
            raise ProtocolError(f'generator {generator.name!r}: {error}') from error
        self.reports += reports
        arm.leaks += [report.summary() for report in reports if not report.clean]
        return arm

    def _make(self, generator: Generator, numbers: Numbers) -> Tuple[Arm, List[LeakReport]]:
        if generator.folder is not None:
            return self._of_folder(generator, numbers)
        if generator.checkpoint is not None:
            return self._of_checkpoint(generator, numbers)
        if self.protocol.train_generators:
            return self._trained_per_fold(generator, numbers)
        return self._trained_once(generator, numbers)

    def write(self) -> None:
        """Write what the jobs read."""
        for path, files, labels in self._lists:
            write_list(path, files, labels)
        self._made.write()

    def _leak(
        self,
        generator: Generator,
        hashes: Optional[Set[str]],
        groups: Set[str],
        fold: Optional[int] = None,
    ) -> LeakReport:
        return check_leak(self.plan, generator.name, hashes, fold, self.samples, groups)

    # Folders ------------------------------------------------------------------------------------

    def _of_folder(self, generator: Generator, numbers: Numbers) -> Tuple[Arm, List[LeakReport]]:
        folds = len(self.plan.folds)
        reader = FolderReader(
            self.plan, self.samples, self.cache, self.out_dir / 'lists', self._pools
        )
        if generator.per_fold:
            read = [reader.read(generator, numbers[fold], fold) for fold in range(folds)]
            identity = dict(folds=[one.identity for one in read])
        else:
            read = [reader.read(generator, largest(numbers))]
            identity = read[0].identity
            self._contents[generator.name] = read[0].contents
        self._lists += [one.listing for one in read]
        of_fold = read if generator.per_fold else read * folds
        arm = Arm(
            generator.name,
            [one.part for one in of_fold],
            [one.images for one in of_fold],
            [()] * folds,
            identity,
            notes=list(dict.fromkeys(note for one in read for note in one.notes)),
        )
        if generator.per_fold:
            arm.notes.append(f'{generator.name}: a folder of images for every fold')
        return arm, [one.report for one in read]

    # Checkpoints --------------------------------------------------------------------------------

    def _of_checkpoint(
        self, generator: Generator, numbers: Numbers
    ) -> Tuple[Arm, List[LeakReport]]:
        sampling = Sampling.settle(generator.config, generator.checkpoint)
        checkpoint = sampling.checkpoint
        check_generator_classes(generator, sampling.classes, self.protocol.classes)
        path = str(Path(generator.config).absolute())
        where = self._drawn(generator, largest(numbers), path, checkpoint, '')
        identity = dict(
            model=plain(sampling.config.model), checkpoint=sampling.hashes['checkpoint_sha256']
        )
        arm = self._arm(generator, [where] * len(self.plan.folds), identity)
        trained_on = training_images_of(checkpoint)
        arm.notes += seen_beyond(self.plan, generator.name, trained_on)
        return arm, [self._leak(generator, trained_on, training_groups_of(checkpoint))]

    def _arm(
        self, generator: Generator, where: Sequence[Tuple[Path, str]], identity: Dict[str, Any]
    ) -> Arm:
        """An arm of images that jobs will draw; ``where``: per fold the folder and the job."""
        count = self.protocol.synthetic_per_class * len(self.protocol.classes)
        if not self._pools:  # of a pool, each row says for itself
            identity['per_class'] = self.protocol.synthetic_per_class
        return Arm(
            generator.name,
            [dict(data_root=str(out), ann_file=MANIFEST_NAME) for out, _ in where],
            [count] * len(where),
            [(job,) for _, job in where],
            identity,
            notes=shortcuts.of_drawn(generator.name, self.samples),
        )

    def _drawn(
        self,
        generator: Generator,
        numbers: Sequence[int],
        config: str,
        checkpoint: Path,
        fold: str,
        needs: Tuple[str, ...] = (),
    ) -> Tuple[Path, str]:
        """Add the job that draws the images of a checkpoint; their folder and its name."""
        counts = dict(zip(self.protocol.classes, map(int, numbers), strict=True))
        return self._made.draw(generator.name, fold, config, checkpoint, counts, self._pools, needs)

    # Generators that are trained here -----------------------------------------------------------

    def _trained_per_fold(
        self, generator: Generator, numbers: Numbers
    ) -> Tuple[Arm, List[LeakReport]]:
        config = self._trainable(generator)
        where, reports, counts = [], [], []
        for fold, parts in enumerate(self.real):
            name = f'fold{fold + 1}'
            images, samples = self._generator_images(fold, parts['train'])
            counts.append(len(samples))
            checkpoints, needs, inherited = self._stages(generator, name, images)
            run = read_generator(generator, *self._of, checkpoints)
            if inherited is not None:
                own = inherited_images(run, checkpoints)
                inherited = None if own is None else inherited | own
            on_images(run, images)
            if generator.best_by_fd:
                job = baseline_job(self.protocol.selecting, fold, self.protocol.seeds[0])
                evaluated_by(run, parts['train'], self.out_dir / 'jobs' / job)
                needs = (*needs, job)
            else:
                unjudged(run)
            where.append(self._trained(generator, numbers[fold], run, name, needs))
            trained_on, groups = None, inherited_groups(config)
            if inherited is not None:
                trained_on = inherited | {sample.content for sample in samples}
                groups |= set(to_hex(group_hashes(sample.group or '' for sample in samples)))
            reports.append(self._leak(generator, trained_on, groups, fold))
        identity = dict(
            training_identity(config, generator, read_stages(generator, *self._of)),
            trained='per fold',
            images=self.protocol.generator_images,
            counts=counts,
        )
        chosen = ''
        if generator.best_by_fd:
            name = self.protocol.selecting
            identity['evaluated_by'] = classifier_identity(self.classifiers[name])
            chosen = f'; its weights of the lowest smoothed FD to these, with features of {name}'
        arm = self._arm(generator, where, identity)
        which = 'its training images'
        if self.protocol.generator_images == 'all':
            which = 'all images outside of its test and validation part and of their groups'
        least, most = min(counts), max(counts)
        number = f'{least}' if least == most else f'{least} to {most}'
        arm.notes.append(
            f'{generator.name}: one generator per {"fold" if len(where) > 1 else "split"}, trained '
            f'on {which} ({number}){chosen}'
        )
        return arm, reports

    def _stages(
        self, generator: Generator, fold: str, images: Mapping[str, Any]
    ) -> Tuple[List[Path], Tuple[str, ...], Optional[Set[str]]]:
        """Add the jobs that train what a generator stands on.

        Returns:
            tuple: Their checkpoints, the job to wait for, and the images behind the weights that
            they start from (None: unknown).
        """
        checkpoints: List[Path] = []
        needs: Tuple[str, ...] = ()
        inherited: Optional[Set[str]] = set()
        for number in range(len(generator.stages)):
            run = read_stages(generator, *self._of, checkpoints)[number]
            own = inherited_images(run, checkpoints)
            inherited = None if own is None or inherited is None else inherited | own
            on_images(run, images)
            unjudged(run)
            part = f'{fold}_stage{number + 1}'
            _, work_dir, job = self._made.train(generator.name, part, run, needs)
            checkpoints.append((work_dir / 'final.pth').absolute())
            needs = (job,)
        return checkpoints, needs, inherited

    def _generator_images(
        self, fold: int, drawn: Dict[str, Any]
    ) -> Tuple[Dict[str, Any], List[Sample]]:
        """What a generator of one fold trains on: arguments of a data set, and the images."""
        if self.protocol.generator_images == 'drawn':
            return drawn, [self.plan.samples[i] for i in self.plan.folds[fold].train]
        samples = self.plan.outside(fold, self.samples)
        root = Path(drawn['data_root'])
        files = [Path(sample.file).relative_to(root).as_posix() for sample in samples]
        labels = [self.protocol.classes[sample.label] for sample in samples]
        path = self.out_dir / 'lists' / f'fold{fold + 1}_generator.csv'
        self._lists.append((path, files, labels))
        return dict(drawn, ann_file=str(path.absolute())), samples

    def _trained_once(self, generator: Generator, numbers: Numbers) -> Tuple[Arm, List[LeakReport]]:
        if generator.stages:
            raise ProtocolError(
                f'generator {generator.name!r}: stages are trained once per fold '
                '(--train-generators); for one generator train them beforehand, and give its '
                'config and checkpoint'
            )
        config = self._trainable(generator)
        data = config.train_dataloader.dataset
        root, ann_file = data.get('data_root') or '', data.get('ann_file') or ''
        patches = data_folder_patches(
            root, default_classes(config), os.path.join(root, ann_file) if ann_file else '',
            data.get('split'), data.get('extra_classes', 'error'), data.get('follow_links', False),
        )  # fmt: skip
        files = [os.path.join(os.path.abspath(os.path.expanduser(root)), p.file) for p in patches]
        trained_on = inherited_images(config)
        groups = inherited_groups(config)
        groups |= set(to_hex(group_hashes(patch.group or '' for patch in patches)))
        if trained_on is not None:
            contents = to_hex(self.cache.hashes(files, f'Hashing images of {generator.name}'))
            trained_on |= set(contents)
        unjudged(config)
        where = self._trained(generator, largest(numbers), config, '')
        identity = dict(
            training_identity(config, generator), trained='once', images=digest_of(sorted(contents))
            if trained_on is not None else len(files),
        )  # fmt: skip
        arm = self._arm(generator, [where] * len(self.plan.folds), identity)
        arm.notes += seen_beyond(self.plan, generator.name, trained_on)
        return arm, [self._leak(generator, trained_on, groups)]

    def _trainable(self, generator: Generator) -> Config:
        config = read_generator(generator, *self._of)
        names = default_classes(config)
        check_generator_classes(generator, names, self.protocol.classes)
        if self.protocol.train_generators and len(names) != len(self.protocol.classes):
            raise ProtocolError(
                f'generator {generator.name!r} has the classes {list(names)}, the benchmark '
                f'{list(self.protocol.classes)}: a generator that is trained on the folds has the '
                "benchmark's classes"
            )
        return config

    def _trained(
        self,
        generator: Generator,
        numbers: Sequence[int],
        run: Config,
        fold: str,
        needs: Tuple[str, ...] = (),
    ) -> Tuple[Path, str]:
        """Add the jobs that train a generator and draw its images."""
        path, work_dir, job = self._made.train(generator.name, fold, run, needs)
        # Of a folder, the best weights are taken.
        weights = work_dir if generator.best_by_fd else work_dir / 'final.pth'
        return self._drawn(generator, numbers, str(path), weights, fold, (job,))
