"""Rows of a benchmark that choose from pools of candidates: their settings, and who chooses.

One job per generator and fold scores the largest pool once, with the baseline classifier of that
fold, and writes the choice of every row. Smaller pools are the first candidates of larger ones.
"""

import copy
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config

from cellgan_plugin.benchmark.classifier_run import classifier_identity
from cellgan_plugin.benchmark.fold_plan import FoldPlan
from cellgan_plugin.benchmark.job_files import KEPT_NAME, baseline_job
from cellgan_plugin.benchmark.protocol import Protocol
from cellgan_plugin.benchmark.rows import Augmentation, slug
from cellgan_plugin.benchmark.synthetic import Arm
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.jobs.job import Job, module_command
from cellgan_plugin.models.mc_dropout import BackboneError, SplitBackbone, check_probability
from cellgan_plugin.records import digest_of, plain
from cellgan_plugin.runs.job_program import JOB_NAME
from cellgan_plugin.selection.rules import build_rule, images_asked
from cellgan_plugin.selection.saved_scores import ScoreSettings
from cellgan_plugin.selection.table import require_pool


def check_selection(protocol: Protocol, classifiers: Mapping[str, Config]) -> None:
    """ProtocolError for a rule, a setting or a classifier that cannot select.

    Args:
        protocol (Protocol): The benchmark.
        classifiers (Mapping[str, Config]): By name.
    """
    try:
        options = dict(protocol.selection)
        dropout = options.pop('dropout', None)
        if dropout is not None:
            check_probability(dropout)
        options.pop('drop_memorised', None)
        settings = ScoreSettings(**options)
        if protocol.selects:
            settings.check_network(_split_backbone(classifiers[protocol.selecting]))
    except BackboneError as error:
        raise ProtocolError(
            f'classifier {protocol.selecting!r} cannot select: {error}. Name another one: selector'
        ) from error
    except (TypeError, ValueError) as error:
        raise ProtocolError(f'selection: {error}') from error
    for row in protocol.all_rows:
        try:
            build_rule(plain(row.rule))
        except (TypeError, ValueError) as error:
            raise ProtocolError(f'row {row.name!r}: {error}') from error


def _split_backbone(config: Config) -> SplitBackbone:
    """A classifier's backbone as the selection cuts it, with any weights."""
    from mmengine.registry import DefaultScope
    from mmpretrain.registry import MODELS as CLASSIFIERS

    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.random.fork_rng([]):
        return SplitBackbone(CLASSIFIERS.build(copy.deepcopy(config.model.backbone)))


class RowBuilder:
    """Makes the arms of rows, and the jobs that choose their images.

    Args:
        protocol (Protocol): The benchmark.
        plan (FoldPlan): Its folds.
        real (Sequence[Mapping]): Lists of the folds' real images.
        out_dir (Path): Work directory of the benchmark.
        classifiers (Mapping[str, Config]): By name.

    Attributes:
        jobs (list[Job]): One per generator and fold.
        requests (list[tuple[Path, dict]]): What they read, to be written.
    """

    def __init__(
        self,
        protocol: Protocol,
        plan: FoldPlan,
        real: Sequence[Mapping[str, dict]],
        out_dir: Path,
        classifiers: Mapping[str, Config],
    ):
        self.protocol, self.plan, self.real, self.out_dir = protocol, plan, real, out_dir
        self.selector = classifier_identity(classifiers[protocol.selecting])
        self.train = plan.class_counts('train').tolist()  # per fold and class
        self.jobs: List[Job] = []
        self.requests: List[Tuple[Path, Dict[str, Any]]] = []

    def pool_sizes(self, generator: str) -> List[List[int]]:
        """Candidates of a generator that its rows need, per fold and class."""
        rows = self._of(generator)
        return [
            [max(row.candidates(real) for row in rows) for real in counts] for counts in self.train
        ]

    def _of(self, generator: str) -> List[Augmentation]:
        return [row for row in self.protocol.all_rows if row.generator == generator]

    def _asked(self, row: Augmentation, fold: int) -> List[int]:
        """Images to keep of each class; PoolError when the pool is too small for the rule."""
        rule, asked = build_rule(plain(row.rule)), []
        for name, real in zip(self.plan.classes, self.train[fold], strict=True):
            asked.append(images_asked(row.ratio, real))
            where = f'row {row.name!r}, class {name} (ratio {row.ratio:g} of {real} real images)'
            require_pool(rule, asked[-1], row.candidates(real), where)
        if not any(asked):
            raise ProtocolError(f'row {row.name!r}: ratio {row.ratio:g} asks for no image at all')
        return asked

    def arms(
        self, sources: Mapping[str, Arm], contents: Mapping[str, Sequence[Tuple[int, str]]]
    ) -> List[Arm]:
        """One arm per row.

        Args:
            sources (Mapping[str, Arm]): All images of each generator.
            contents (Mapping): Of generators that are folders: label and hash of their images.

        Raises:
            PoolError: A pool is too small for its rule.
            ProtocolError: A row that adds nothing.
        """
        folds = len(self.plan.folds)
        jobs = {name: self._selection(name, source) for name, source in sources.items()}
        arms, said = [], set()
        for row in self.protocol.all_rows:
            identity: Dict[str, Any] = dict(transforms=plain(row.transforms))
            arm = Arm(
                row.name, [None] * folds, [0] * folds, [()] * folds, identity,
                transforms=[plain(transform) for transform in row.transforms], use=row.use,
            )  # fmt: skip
            arms.append(arm)
            if row.generator is None:
                continue
            source = sources[row.generator]
            arm.parts = [
                dict(source.parts[fold], ann_file=str(self._folder(row, fold) / KEPT_NAME))
                for fold in range(folds)
            ]
            arm.counts = [sum(self._asked(row, fold)) for fold in range(folds)]
            arm.needs = [(job.name,) for job in jobs[row.generator]]
            arm.leaks = list(source.leaks)
            if row.generator not in said:
                arm.notes += source.notes
                said.add(row.generator)
            identity.update(
                generator=dict(source.identity),
                rule=plain(row.rule),
                ratio=row.ratio,
                pool=[row.candidates(real) for real in self._most()],
                selection=plain(self.protocol.selection),
                selector=self.selector,
                selector_seed=self.protocol.seeds[0],
            )
            if row.use != 'added':
                identity['use'] = row.use
            if row.generator in contents:
                identity['generator'] = _digest_of_first(contents[row.generator], identity['pool'])
        return arms

    def _most(self) -> List[int]:
        return np.max(self.train, axis=0).tolist()

    def _folder(self, row: Augmentation, fold: int) -> Path:
        return (self.out_dir / 'selected' / slug(row.name) / f'fold{fold + 1}').absolute()

    def _selection(self, generator: str, source: Arm) -> List[Job]:
        """Add the jobs that choose from a generator's pools, one per fold."""
        protocol, added = self.protocol, []
        for fold in range(len(self.plan.folds)):
            trained = {self.plan.samples[i].content for i in self.plan.folds[fold].train}
            baseline = baseline_job(protocol.selecting, fold, protocol.seeds[0])
            rows = [
                dict(
                    name=row.name,
                    rule=plain(row.rule),
                    pool=[row.candidates(real) for real in self.train[fold]],
                    asked=self._asked(row, fold),
                    out=str(self._folder(row, fold)),
                    pictures=row in protocol.rows,  # not of every point of a sweep
                )
                for row in self._of(generator)
            ]
            request = dict(
                kind='selection',
                classes=list(self.plan.classes),
                pool=source.parts[fold],
                real=self.real[fold]['train'],
                baseline=str((self.out_dir / 'jobs' / baseline).absolute()),
                trained_on=digest_of(sorted(trained)),
                selection=plain(protocol.selection),
                rows=rows,
            )
            request['done'] = f'done_{digest_of(request)[:8]}.json'
            name = f'selection/{slug(generator)}/fold{fold + 1}'
            work_dir = self.out_dir / 'jobs' / name
            path = work_dir / JOB_NAME
            self.requests.append((path, request))
            added.append(
                Job(
                    name,
                    module_command('cellgan_plugin.benchmark.job', path.absolute()),
                    work_dir,
                    work_dir / request['done'],
                    needs=(*source.needs[fold], baseline),
                )
            )
        self.jobs += added
        return added


def _digest_of_first(contents: Sequence[Tuple[int, str]], most: Sequence[int]) -> Dict[str, Any]:
    """Which images of a folder a pool holds, whatever else is there."""
    left, first = list(most), []
    for label, content in contents:
        if left[label] > 0:
            left[label] -= 1
            first.append((label, content))
    return dict(images=len(first), digest=digest_of(sorted(first)))
