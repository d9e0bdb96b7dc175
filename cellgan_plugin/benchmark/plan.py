"""From the description of a benchmark to its jobs: which images, which runs, what needs what."""

import os
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from mmengine.config import Config

from cellgan_plugin.benchmark.classifier_run import (
    classifier_identity,
    classifier_run,
    number_of_iterations,
    write_run,
)
from cellgan_plugin.benchmark.fixed_split import plan_fixed, with_share
from cellgan_plugin.benchmark.fold_plan import PARTS, FoldPlan, Sample
from cellgan_plugin.benchmark.folds import plan_folds, plan_splits
from cellgan_plugin.benchmark.job_files import PREDICTIONS_NAME, WEIGHTS_NAME, run_name
from cellgan_plugin.benchmark.near_copies import join_near_copies
from cellgan_plugin.benchmark.protocol import REAL, Protocol
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.synthetic import Arm, HashCache, real_samples, write_list
from cellgan_plugin.datasets.manifest import iter_manifest
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.job import Job, module_command
from cellgan_plugin.records import FolderRecord, digest_of, plain
from cellgan_plugin.runs.job_program import CONFIG_NAME, JOB_NAME


@dataclass(frozen=True)
class ClassifierRun:
    """One training of a classifier.

    Attributes:
        classifier (str): Its name.
        arm (str): Name of the arm.
        fold (int): From 0.
        seed (int): Of the training.
        iterations (int): Optimizer steps.
        job (str): Name of its job.
        work_dir (Path): Where it leaves its predictions.
        selects (bool): Whether its weights select synthetic images.
    """

    classifier: str
    arm: str
    fold: int
    seed: int
    iterations: int
    job: str
    work_dir: Path
    selects: bool = False


def make_plan(protocol: Protocol, cache: HashCache) -> Tuple[List[Sample], FoldPlan]:
    """All real images, and which of them train, validate and test.

    Args:
        protocol (Protocol): With one share of the training images, or none.
        cache (HashCache): Of image contents.

    Raises:
        DatasetError: Images that cannot be used.
        FoldError: Classes that cannot be divided.
    """
    data, classes = protocol.data, protocol.classes
    common = dict(per_class=protocol.per_class, seed=protocol.fold_seed)
    if protocol.fixed_splits:
        splits = _splits_of(data)
        if protocol.select == 'best' and 'val' not in splits:
            raise ProtocolError(
                f"select='best' needs validation images, and {data['ann_file']} has no row of "
                "split 'val': select='last' takes the final weights"
            )
        found = {part: real_samples(dict(data, split=part), classes, cache) for part in splits}
        listed = [sample for part in found.values() for sample in part]
        samples, notes = join_near_copies(listed, cache)
        joined = iter(samples)
        found = {part: [next(joined) for _ in own] for part, own in found.items()}
        plan = plan_fixed(found, classes, protocol.num_folds, **common)
    else:
        samples, notes = join_near_copies(real_samples(data, classes, cache), cache)
        if protocol.ratios:
            plan = plan_splits(samples, classes, protocol.ratios, protocol.num_folds, **common)
        else:
            plan = plan_folds(samples, classes, protocol.num_folds, **common)
    plan = replace(plan, notes=(*plan.notes, *notes))
    if protocol.shares:
        (share,) = protocol.shares
        plan = with_share(plan, share, protocol.share_of)
    return samples, plan


def _splits_of(data: Mapping[str, Any]) -> List[str]:
    """Train and test, and val where the manifest has it."""
    path = Path(_root(data)) / data['ann_file']
    if not path.is_file():
        raise FileNotFoundError(f'manifest {path} does not exist')
    there = {row.get('split', '') for _, row in iter_manifest(path)}
    missing = {'train', 'test'} - there
    if missing:
        raise ProtocolError(
            f'fixed_splits: {path} has no row of split {sorted(missing)[0]!r}; there are '
            f'{sorted(there)}'
        )
    return [part for part in PARTS if part in there]


def real_parts(plan: FoldPlan, data: Mapping[str, Any], folder: Path) -> List[Dict[str, dict]]:
    """Where every fold's real images are listed.

    Args:
        plan (FoldPlan): The folds.
        data (Mapping): Of the protocol.
        folder (Path): Where the lists go, see :func:`write_real_lists`.

    Returns:
        list[dict]: Per fold: ``train``, ``test`` and perhaps ``val`` -> arguments of a data set.
    """
    return [
        {
            part: dict(
                data_root=_root(data),
                ann_file=str((folder / f'fold{number}_{part}.csv').absolute()),
                follow_links=bool(data.get('follow_links')),
            )
            for part in fold.parts()
        }
        for number, fold in enumerate(plan.folds, 1)
    ]


def _root(data: Mapping[str, Any]) -> str:
    return os.path.abspath(os.path.expanduser(data['data_root']))


def listed_name(sample: Sample, data: Mapping[str, Any]) -> str:
    """File of an image as the lists and the predictions name it."""
    return Path(sample.file).relative_to(_root(data)).as_posix()


def write_real_lists(plan: FoldPlan, data: Mapping[str, Any], folder: Path) -> None:
    """Write the lists that :func:`real_parts` names."""
    for number, fold in enumerate(plan.folds, 1):
        for part, indices in fold.parts().items():
            samples = [plan.samples[index] for index in indices]
            write_list(
                folder / f'fold{number}_{part}.csv',
                [listed_name(sample, data) for sample in samples],
                [plan.classes[sample.label] for sample in samples],
            )


def steps_of(
    protocol: Protocol, plan: FoldPlan, arms: Sequence[Arm], batch_size: int
) -> List[List[int]]:
    """Optimizer steps of a classifier, per arm and fold.

    Args:
        protocol (Protocol): ``epochs``, ``equal_steps`` and ``steps``.
        plan (FoldPlan): The folds.
        arms (Sequence[Arm]): The arms.
        batch_size (int): Of the classifier.
    """
    steps = [
        [
            number_of_iterations(protocol.epochs, arm.images(i, len(fold.train)), batch_size)
            for i, fold in enumerate(plan.folds)
        ]
        for arm in arms
    ]
    if protocol.steps:
        return [[protocol.steps] * len(plan.folds) for _ in arms]
    if protocol.equal_steps:
        most = max(map(max, steps))
        steps = [[most] * len(plan.folds) for _ in arms]
    return steps


def record_of(
    protocol: Protocol,
    plan: FoldPlan,
    arms: Sequence[Arm],
    classifiers: Mapping[str, Config],
) -> Dict[str, Any]:
    """Everything that decides the results of the jobs, as values that can be compared."""
    common = dict(
        classes=list(protocol.classes),
        num_folds=protocol.num_folds,
        ratios=protocol.ratios,
        per_class=protocol.per_class,
        fold_seed=protocol.fold_seed,
        images_and_folds=plan.digest,
        epochs=protocol.epochs,
        equal_steps=protocol.equal_steps,
        select=protocol.select,
    )
    if protocol.fixed_splits:
        common['fixed_splits'] = True
    if protocol.steps:
        common['steps'] = protocol.steps
    named = {}
    for name, config in classifiers.items():
        named[name] = classifier_identity(config)
        if protocol.equal_steps:
            batch_size = config.train_dataloader.batch_size
            named[name]['steps'] = steps_of(protocol, plan, arms, batch_size)[0][0]
    return plain(
        dict(common=common, classifiers=named, arms={arm.name: arm.identity for arm in arms})
    )


def classifier_runs(
    protocol: Protocol,
    plan: FoldPlan,
    arms: Sequence[Arm],
    classifiers: Mapping[str, Config],
    out_dir: Path,
) -> List[ClassifierRun]:
    """Every training of every classifier; the arms of a fold follow one another.

    The order puts whole folds first, so that an interrupted benchmark has something to compare.
    """
    steps = {
        name: steps_of(protocol, plan, arms, config.train_dataloader.batch_size)
        for name, config in classifiers.items()
    }
    planned_runs = []
    for seed, fold, name in product(protocol.seeds, range(len(plan.folds)), classifiers):
        may_select = seed == protocol.seeds[0] and name == protocol.selecting
        for arm, of_arm in zip(arms, steps[name], strict=True):
            job = run_name(slug(name), arm.slug, fold, seed)
            selects = may_select and arm.name == REAL and protocol.needs_baseline
            planned_runs.append(
                ClassifierRun(
                    name, arm.name, fold, seed, of_arm[fold], job, out_dir / 'jobs' / job, selects
                )
            )
    return planned_runs


def classifier_job(
    planned: ClassifierRun,
    config: Config,
    arm: Arm,
    real: Mapping[str, dict],
    protocol: Protocol,
    decides: Mapping[str, Any],
) -> Job:
    """Write what a training needs, and make its job.

    Args:
        planned (ClassifierRun): The training.
        config (Config): Of the classifier.
        arm (Arm): Of the run.
        real (Mapping): Of the fold, see :func:`real_parts`.
        protocol (Protocol): The benchmark.
        decides (Mapping): Of :func:`record_of`.

    Raises:
        RecordError: The work directory holds another job.
    """
    synthetic = arm.parts[planned.fold]
    identity = digest_of(
        dict(
            common=decides['common'],
            classifier=decides['classifiers'][planned.classifier],
            arm=arm.identity,
            fold=planned.fold,
            seed=planned.seed,
            iterations=planned.iterations,
        )
    )
    path = planned.work_dir / JOB_NAME
    done_file = planned.work_dir / (WEIGHTS_NAME if planned.selects else PREDICTIONS_NAME)
    record = FolderRecord(planned.work_dir, JOB_NAME, shared=True, can_overwrite=False)
    record.check(dict(identity=identity))
    if not done_file.is_file():
        parts = [synthetic] if arm.use == 'alone' else [real['train'], *filter(None, [synthetic])]
        run = classifier_run(
            config,
            protocol.classes,
            parts,
            real.get('val'),
            real['test'],
            planned.iterations,
            planned.seed,
            protocol.select,
            arm.transforms,
            say_images=planned.selects,
            synthetic_first=arm.use == 'first',
        )
        write_run(run, planned.work_dir / CONFIG_NAME)
        job = dict(
            kind='classifier',
            name=planned.job,
            identity=identity,
            iterations=planned.iterations,
            select=protocol.select,
            keep_weights=protocol.keep_weights or planned.selects,
        )
        write_json(path, job)
    return Job(
        planned.job,
        module_command('cellgan_plugin.benchmark.job', path.absolute()),
        planned.work_dir,
        done_file,
        needs=arm.needs[planned.fold],
    )
