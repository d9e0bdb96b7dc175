"""From predictions on disk to what the tables and pictures of a benchmark show."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.benchmark.bootstrap import BootstrapInterval, bootstrap_scores
from cellgan_plugin.benchmark.fold_plan import FoldPlan
from cellgan_plugin.benchmark.predictions import PredictionError, read_predictions
from cellgan_plugin.benchmark.protocol import REAL, TABLE_3
from cellgan_plugin.benchmark.scores import Scores, compute_scores
from cellgan_plugin.benchmark.statistics import Difference, compare_runs, compare_with_baseline

REPLICATES = 2000  # of the bootstrap


@dataclass
class Outcome:
    """What became of one training.

    Attributes:
        classifier (str): Name.
        arm (str): Name.
        fold (int): From 0.
        seed (int): Of the training.
        iterations (int): Optimizer steps.
        probabilities (np.ndarray | None): (N, K), in the order of the fold's test images; None
            when the job is not done.
        scores (Scores | None): Of them.
        message (str): Why it is not done.
    """

    classifier: str
    arm: str
    fold: int
    seed: int
    iterations: int
    probabilities: Optional[np.ndarray] = None
    scores: Optional[Scores] = None
    message: str = ''


def read_outcome(outcome: Outcome, path: Path, plan: FoldPlan, names: Mapping[int, str]) -> Outcome:
    """Read and score the predictions of a finished job.

    Args:
        outcome (Outcome): Of the job; filled in.
        path (Path): ``predictions.csv``.
        plan (FoldPlan): The folds.
        names (Mapping[int, str]): Index of a sample -> its file as the lists name it.

    Raises:
        PredictionError: The predictions are of other images.
        ScoreError: They are no probabilities.
    """
    found = read_predictions(path, plan.classes)
    test = plan.folds[outcome.fold].test
    row_of = {file: row for row, file in enumerate(found.files)}
    wanted = [names[index] for index in test]
    if len(found.files) != len(test) or set(row_of) != set(wanted):
        raise PredictionError(
            f'{path} has predictions of {len(found.files)} images, which are not the {len(test)} '
            f'test images of fold {outcome.fold + 1}; delete the folder, and the job is done again'
        )
    order = [row_of[name] for name in wanted]
    truth = np.array([plan.samples[index].label for index in test])
    if (found.labels[order] != truth).any():
        raise PredictionError(f'{path}: labels differ from those of the folds')
    outcome.scores = compute_scores(found.probabilities[order], truth, plan.classes)
    outcome.probabilities = found.probabilities[order]
    return outcome


@dataclass
class ResultRow:
    """One classifier with one arm, over folds and seeds.

    Attributes:
        classifier (str): Name.
        arm (str): Name.
        outcomes (list[Outcome]): All its trainings.
        folds (int): Number of folds.
        metrics (Sequence[str]): Of the tables.
        values (dict[str, list]): Metric -> one value per fold: the mean over its seeds, None where
            none is done. Of a single fold one value per seed.
    """

    classifier: str
    arm: str
    outcomes: List[Outcome]
    folds: int
    metrics: Sequence[str] = TABLE_3
    values: Dict[str, List[Optional[float]]] = field(default_factory=dict)

    def __post_init__(self):
        for metric in self.metrics:
            self.values[metric] = self.per_run(lambda s, m=metric: s.values()[m])

    def per_run(self, value) -> List[Optional[float]]:
        """A value of the scores, averaged over the seeds of each fold; of one fold per seed."""
        runs = [[o for o in self.outcomes if o.fold == fold] for fold in range(self.folds)]
        if self.folds == 1:
            runs = [[outcome] for outcome in sorted(runs[0], key=lambda o: o.seed)]
        result = []
        for outcomes in runs:
            found = [value(o.scores) for o in outcomes if o.scores is not None]
            found = [v for v in found if v is not None]
            result.append(float(np.mean(found)) if found else None)
        return result

    @property
    def done(self) -> List[Outcome]:
        """Trainings that are done."""
        return [outcome for outcome in self.outcomes if outcome.scores is not None]

    @property
    def confusion(self) -> Optional[np.ndarray]:
        """Summed over folds and seeds, int64 (K, K); None when nothing is done."""
        done = self.done
        return np.sum([o.scores.confusion for o in done], axis=0) if done else None

    @property
    def why_incomplete(self) -> str:
        """What failed, in one sentence; '' when nothing did."""
        failed = [outcome for outcome in self.outcomes if outcome.scores is None]
        if not failed:
            return ''
        reasons = Counter(outcome.message or 'not run yet' for outcome in failed)
        said = '; '.join(
            f'{text} ({count} jobs)' if count > 1 else text for text, count in reasons.items()
        )
        return f'{len(failed)} of {len(self.outcomes)} jobs are not done: {said}'


@dataclass
class BenchmarkResults:
    """Everything that the tables and pictures show.

    Attributes:
        plan (FoldPlan): The folds.
        rows (list[ResultRow]): By classifier, arms in their order, the real images alone first.
        shown (dict[str, str]): Arm -> its name in tables.
        comparisons (dict): (classifier, metric) -> arm -> Difference with the real images; of
            one fold without a test, since its runs share all images.
        intervals (dict): Classifier -> arm -> metric -> BootstrapInterval.
        synthetic (dict[str, float]): Arm -> synthetic images of a fold (mean).
        title (str): Of the tables.
        notes (list[str]): Below every table.
        metrics (tuple[str]): Of the tables.
    """

    plan: FoldPlan
    rows: List[ResultRow]
    shown: Dict[str, str]
    comparisons: Dict[Tuple[str, str], Dict[str, Difference]]
    intervals: Dict[str, Dict[str, Dict[str, BootstrapInterval]]]
    synthetic: Dict[str, float]
    title: str
    notes: List[str]
    metrics: Sequence[str] = TABLE_3

    @property
    def one_split(self) -> bool:
        """Whether all runs have the same training and test images."""
        return len(self.plan.folds) == 1


def collect(
    plan: FoldPlan,
    outcomes: Sequence[Outcome],
    shown: Mapping[str, str],
    synthetic: Mapping[str, float],
    title: str,
    notes: Sequence[str],
    metrics: Sequence[str] = TABLE_3,
) -> BenchmarkResults:
    """Group outcomes into rows, and test every arm against the real images alone.

    Args:
        plan (FoldPlan): The folds.
        outcomes (Sequence[Outcome]): Of all jobs.
        shown (Mapping[str, str]): Arm -> its name in tables, the real images alone first.
        synthetic (Mapping[str, float]): Arm -> synthetic images of a fold.
        title (str): Of the tables.
        notes (Sequence[str]): Below every table.
        metrics (Sequence[str]): Of the tables.
    """
    classifiers = list(dict.fromkeys(outcome.classifier for outcome in outcomes))
    folds = len(plan.folds)
    rows = [
        ResultRow(name, arm, found, folds, metrics)
        for name in classifiers
        for arm in shown
        if (found := [o for o in outcomes if o.classifier == name and o.arm == arm])
    ]
    train = [len(fold.train) for fold in plan.folds]
    test = [len(fold.test) for fold in plan.folds]
    comparisons, intervals = {}, {}
    labels = [np.array([plan.samples[i].label for i in fold.test]) for fold in plan.folds]
    groups = None
    if plan.grouped:
        groups = [[plan.samples[i].group for i in fold.test] for fold in plan.folds]
    for name in classifiers:
        own = [row for row in rows if row.classifier == name]
        if not any(row.arm == REAL for row in own):
            continue
        for metric in metrics:
            scores = {row.arm: row.values[metric] for row in own}
            if folds == 1:
                comparisons[name, metric] = compare_runs(scores, REAL)
            else:
                comparisons[name, metric] = compare_with_baseline(scores, REAL, train, test)
        seeds = sorted({outcome.seed for row in own for outcome in row.outcomes})
        # Every training, as in the tests beside: the seeds of a fold share its test images.
        runs = [(fold, seed) for fold in range(folds) for seed in seeds]
        predicted: Dict[str, List[Optional[np.ndarray]]] = {}
        for row in own:
            by_run = {(o.fold, o.seed): o.probabilities for o in row.outcomes}
            predicted[row.arm] = [by_run.get(run) for run in runs]
        intervals[name] = bootstrap_scores(
            [labels[fold] for fold, _ in runs],
            predicted,
            REAL,
            metrics,
            REPLICATES,
            groups=None if groups is None else [groups[fold] for fold, _ in runs],
            same_images=[fold for fold, _ in runs],
        )
    return BenchmarkResults(
        plan,
        rows,
        dict(shown),
        comparisons,
        intervals,
        dict(synthetic),
        title,
        list(notes),
        tuple(metrics),
    )
