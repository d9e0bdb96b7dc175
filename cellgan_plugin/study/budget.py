"""How the time of a study is divided: measured speeds in, minutes of every step out."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Tuple

from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.study.division import MOST_FOLDS, Division
from cellgan_plugin.study.settings import ROWS, StudySettings

ARMS = 2  # real only, traditional augmentation
# Where time is short the last rows of a generator are left out, then all but the first.
_FEWER_ROWS = (ROWS, ROWS[:2], ROWS[:1])
POOL = 4  # candidates over images asked for (HistoGAN, Algorithm 1)
CLASSIFIER_STEPS = 240  # of the classifier that evaluates
_EPOCHS = 15  # of the benchmark's classifiers, real and synthetic images
_STEPS = (80, 2000)
_BATCH = 32
# Minutes of training below which a generator per fold is no better than one for all.
_MINUTES_PER_FOLD = 5.0
# Minutes of training below which classifiers take fewer steps and rows are left out, and the least
# there are; a study that then takes longer than so many times what was asked for is refused.
_MINUTES_WITH_ALL_ROWS, _LEAST_MINUTES = 2.0, 0.25
_TOO_LONG = 1.25
_SAMPLING = (
    0.35 / 16
)  # of a training step of 16 images: one forward pass of the generator, an image
_SCORING = 1.5 / _BATCH  # of a classifier's training step: passes of dropout, an image
SLACK = 1.15  # of the time limit of a training over what is planned


@dataclass(frozen=True)
class Speeds:
    """What a few steps on this machine took, with as many jobs at a time as the study has.

    Attributes:
        generators (dict[str, float]): Seconds of an iteration, by name.
        classifier (float): Seconds of an iteration.
        start (float): Seconds until a job trains.
    """

    generators: Mapping[str, float]
    classifier: float
    start: float


@dataclass(frozen=True)
class Step:
    """One line of the plan.

    Attributes:
        name (str): What is done.
        folder (str): Where, below the folder of the study.
        jobs (int): Processes that it starts.
        minutes (float): Expected wall-clock time.
    """

    name: str
    folder: str
    jobs: int
    minutes: float


@dataclass(frozen=True)
class Plan:
    """What a study will do in its time.

    Attributes:
        folds (int): Of the benchmark; 1: one split.
        workers (int): Jobs at a time.
        iterations (dict[str, int]): Of every generator.
        minutes (float): Training time of a generator; at most :data:`SLACK` times as much.
        steps (int): Of every classifier of the benchmark.
        parts (tuple[Step]): In order.
        rows (tuple[str]): Of every generator in the benchmark, some of :data:`ROWS`.
    """

    folds: int
    workers: int
    iterations: Dict[str, int]
    minutes: float
    steps: int
    parts: Tuple[Step, ...]
    rows: Tuple[str, ...] = ROWS

    @property
    def total(self) -> float:
        """Expected minutes of everything."""
        return sum(part.minutes for part in self.parts)

    def to_text(self, hours: float) -> str:
        """The plan as a table, for a person to read before anything runs."""
        lines = ['step                          folder          jobs   minutes']
        lines += [f'{p.name:<29} {p.folder:<15} {p.jobs:>4} {p.minutes:>9.1f}' for p in self.parts]
        lines.append(f'{"together":<45} {sum(p.jobs for p in self.parts):>4} {self.total:>9.1f}')
        if len(self.rows) < len(ROWS):
            left_out = ', '.join(row for row in ROWS if row not in self.rows)
            lines.append(f'Left out, as asked for or for want of time: rows {left_out}')
        trained = ', '.join(f'{name} {number}' for name, number in self.iterations.items())
        if not trained:
            return '\n'.join(
                [
                    *lines,
                    f'{self.workers} jobs at a time; each classifier of the benchmark trains '
                    f'for {self.steps} steps',
                ]
            )
        times = 'once' if self.folds == 1 else f'{self.folds + 1} times, once per fold and once'
        lines.append(
            f'{self.workers} jobs at a time; each generator trains for {self.minutes:.1f} min '
            f'({trained} iterations) {times}{"" if self.folds == 1 else " to be shown"}; each '
            f'classifier of the benchmark for {self.steps} steps. Asked for: {hours * 60:.0f} min'
        )
        return '\n'.join(lines)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values; :meth:`from_dict` makes the plan again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Plan':
        """The plan of a study that was begun."""
        parts, rows = tuple(Step(**part) for part in data['parts']), tuple(data['rows'])
        return cls(**{**data, 'parts': parts, 'rows': rows})


def make_plan(
    settings: StudySettings,
    division: Division,
    speeds: Speeds,
    workers: int,
    spent: float = 0.0,
) -> Plan:
    """Divide the time.

    Args:
        settings (StudySettings): ``hours``, and what is fixed.
        division (Division): The images.
        speeds (Speeds): Of this machine.
        workers (int): Jobs at a time.
        spent (float): Minutes that are over already. Defaults to 0.

    Returns:
        Plan: With as many folds as leave every generator five minutes, unless ``folds`` says how
        many, and as many rows as leave it two.

    Raises:
        ProtocolError: The steps beside the generators alone take longer than there is.
    """
    choices = (
        [settings.folds]
        if settings.folds
        else sorted(
            {n for n in (division.folds, 3) if 3 <= n <= division.folds} | {1}, reverse=True
        )
    )
    # More than are tried by themselves are looked at when they are made.
    if settings.folds and division.folds < min(settings.folds, MOST_FOLDS):
        raise ProtocolError(
            f'folds={settings.folds}: images and groups of every class are enough for '
            f'{division.folds} folds'
        )
    for folds in choices:
        rows = settings.rows or ROWS
        plan = _with_folds(settings, division, speeds, workers, folds, spent, rows)
        if folds == choices[-1] or plan.minutes >= _MINUTES_PER_FOLD:
            break
    fewer = [settings.rows] if settings.rows else _FEWER_ROWS
    for rows, fewest in ((fewer[0], False), *((rows, True) for rows in fewer)):
        plan = _with_folds(settings, division, speeds, workers, plan.folds, spent, rows, fewest)
        if plan.minutes >= _MINUTES_WITH_ALL_ROWS or settings.iterations:
            break
    if spent + plan.total > _TOO_LONG * settings.hours * 60 and not settings.iterations:
        rest = spent + plan.total - plan.minutes
        raise ProtocolError(
            f'--hours {settings.hours:g} is too little: beside the training of generators the '
            f'steps take about {rest:.0f} min on this machine. Give --hours '
            f'{math.ceil((rest + 5) / 6) / 10:g} or more, or fewer folds, seeds or generators'
        )
    return plan


def _with_folds(
    settings: StudySettings,
    division: Division,
    speeds: Speeds,
    workers: int,
    folds: int,
    spent: float,
    rows: Tuple[str, ...],
    fewest_steps: bool = False,
) -> Plan:
    generators, trained = len(settings.generators), len(settings.trained)
    whole = sum(division.total(part) for part in division.counts)
    train = division.total('train') if folds == 1 else whole * (folds - 1) / folds
    pool = (POOL if 'selected' in rows else 1) * settings.ratio * train
    slowest = max(speeds.generators.values(), default=0.0)
    sampling = _SAMPLING * slowest
    trainings = folds * len(settings.seeds) * (ARMS + len(rows) * generators)

    def rounds(jobs: int) -> int:
        return math.ceil(jobs / workers)

    def fixed(steps: int) -> List[Step]:
        seconds = dict(
            classifier=speeds.start + CLASSIFIER_STEPS * speeds.classifier,
            evaluation=rounds(generators) * (
                speeds.start + 2 * division.total(division.held_out) * sampling
                + division.total('train') * _SCORING * speeds.classifier
            ),
            pools=rounds(folds * generators) * (2 * speeds.start + pool * (
                sampling + _SCORING * speeds.classifier)),
            benchmark=rounds(trainings) * (speeds.start + steps * speeds.classifier),
        )  # fmt: skip
        selection = []
        if folds > 1 and trained:
            own = trained * pool * (sampling + _SCORING * speeds.classifier)
            selection.append(Step('selection', 'selected', 0, own / 60))
        return [
            Step('data set\'s own classifier', 'classifier', 1, seconds['classifier'] / 60),
            Step('distances, memorisation', 'generators', generators, seconds['evaluation'] / 60),
            *selection,
            Step('pools, selection per fold', 'benchmark', 2 * folds * generators,
                 seconds['pools'] / 60),
            Step('classifiers', 'benchmark', trainings, seconds['benchmark'] / 60),
        ]  # fmt: skip

    steps = settings.steps
    if steps is None:
        wanted = round(_EPOCHS * train * (1 + settings.ratio) / _BATCH)
        steps = min(_STEPS[1], max(_STEPS[0], wanted))
        # The benchmark's classifiers take no more than two fifths of the time.
        room = 0.4 * settings.hours * 3600 / rounds(trainings) - speeds.start
        steps = max(_STEPS[0], min(steps, int(room / speeds.classifier)))
        steps = _STEPS[0] if fewest_steps else steps
    parts = fixed(steps)
    runs = rounds(trained) + (rounds(folds * trained) if folds > 1 else 0)
    starting = runs * speeds.start / 60
    minutes = (settings.hours * 60 - spent - sum(p.minutes for p in parts) - starting) / max(
        1, runs
    )
    minutes = max(
        _LEAST_MINUTES, minutes / SLACK**0.5
    )  # half of the slack is kept for what was not foreseen
    if settings.iterations:
        minutes = settings.iterations * slowest / 60
    shown = rounds(trained) * (minutes + speeds.start / 60)
    training = [Step('generators', 'generators', trained, shown)]
    if folds > 1:
        each = rounds(folds * trained) * (minutes + speeds.start / 60)
        training.append(Step('generators per fold', 'benchmark', folds * trained, each))
    training = training if trained else []
    parts = [parts[0], *training[:1], *parts[1:-2], *training[1:], *parts[-2:]]
    iterations = {
        name: settings.iterations or max(1, int(minutes * 60 / seconds))
        for name, seconds in speeds.generators.items()
    }
    return Plan(folds, workers, iterations, minutes, steps, tuple(parts), rows)
