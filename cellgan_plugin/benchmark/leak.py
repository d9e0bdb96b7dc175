"""Was a generator trained on images that test a classifier? Then the classifier has seen them."""

from dataclasses import asdict, dataclass
from typing import Any, Collection, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np

from cellgan_plugin.benchmark.fold_plan import FoldPlan, Sample
from cellgan_plugin.benchmark.synthetic import HashCache
from cellgan_plugin.datasets.content_hash import TRAINING_IMAGES, group_hashes, to_hex
from cellgan_plugin.datasets.perceptual_hash import near_limit, nearest_by_hash

_EXAMPLES = 3
# What a clean report does not rule out.
NOT_SEEN = (
    'Test images are looked for among the training images of generators by equal pixels, and by '
    'equal names in the column group; among synthetic images and the real ones of the benchmark '
    'also flipped, turned, saved as JPEG or resized, by a perceptual hash (docs/benchmark.md has '
    'how often it errs). A copy that was cropped is not found, nor is a slide or patient of '
    'another name'
)
WAYS_OUT = (
    "--train-generators trains one generator per fold, on that fold's training images: the "
    'clean way, at the price of as many runs as folds.',
    'Keep a test set apart: train the generator on one split of the manifest and run the '
    'benchmark on the images of another one.',
    "--allow-leak runs all the same (as in CellGAN's Table 3, one generator for all folds); every "
    'table then says that its scores may be too good.',
)


_PER_FOLD = (
    'Each generator is trained per fold already, but starts from weights of which it is not known '
    'what they were trained on, or were trained on test images. Leave them out (load_from), or let '
    'the benchmark train them on the same images: stages=[dict(config=AUTOENCODER), '
    "dict(config=LDM, options={'model.autoencoder_checkpoint': '{stage0}'})] in place of config."
)


@dataclass(frozen=True)
class FoldLeak:
    """What one fold's test images and a generator's training images share.

    Attributes:
        fold (int): Index of the fold.
        tested (int): Its test images.
        files (tuple[str]): Test images that were trained on, or copies of them.
        group_files (tuple[str]): Further test images of slides, fields or patients of which other
            images were trained on.
        near_files (tuple[str]): Further test images that a synthetic or a training image nearly
            equals: flipped, turned, saved as JPEG or resized
            (:mod:`cellgan_plugin.datasets.perceptual_hash`).
    """

    fold: int
    tested: int
    files: Tuple[str, ...] = ()
    group_files: Tuple[str, ...] = ()
    near_files: Tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.group_files or self.near_files)

    def __str__(self) -> str:
        said = []
        if self.files:
            said.append(f'{len(self.files)} of {self.tested} test images')
        if self.group_files:
            other = 'others' if self.files else f'of {self.tested} test images'
            said.append(f'the slide or patient of {len(self.group_files)} {other}')
        if self.near_files:
            said.append(
                f'near copies of {len(self.near_files)} {"others" if said else "test images"}'
            )
        return f'fold {self.fold + 1}: {" and ".join(said) or "none"}'


@dataclass(frozen=True)
class LeakReport:
    """The leaks of one generator.

    Attributes:
        source (str): The generator, as the user knows it.
        known (bool): Whether it says what it was trained on.
        folds (tuple[FoldLeak]): Every fold that was looked at, clean ones too.
        groups_known (bool): Whether slides or patients could be compared by name: the generator
            says those of its training images, or no test image has one. Defaults to True.
    """

    source: str
    known: bool
    folds: Tuple[FoldLeak, ...]
    groups_known: bool = True

    @property
    def found(self) -> Tuple[FoldLeak, ...]:
        """The folds with a leak."""
        return tuple(fold for fold in self.folds if fold)

    @property
    def clean(self) -> bool:
        """Whether a leak can be ruled out."""
        return self.known and not self.found

    def limits(self) -> str:
        """What could not be looked at; ``''`` when all was."""
        if not self.known or self.groups_known:
            return ''
        return (
            f'{self.source}: its training images do not say of which slides or patients they are; '
            'those of the test images were compared through images that both have'
        )

    def summary(self) -> str:
        """One line for the notes of a table; ``''`` when there is nothing to say."""
        if not self.known:
            return (
                f'{self.source}: it is not known which images it was trained on; scores may be '
                'too good'
            )
        if self.found:
            images = sum(len(fold.files) for fold in self.folds)
            groups = sum(len(fold.group_files) for fold in self.folds)
            tested = sum(fold.tested for fold in self.folds)
            said = f'{images} of {tested} test images'
            if groups:
                said += f' and slides or patients of {groups} others'
            near = sum(len(fold.near_files) for fold in self.folds)
            if near:
                text = f'near copies of {near} of {tested} test images are among its images'
                if not images and not groups:
                    return f'{self.source}: {text}; scores are too good'
                said += f'; {text}'
            return f'{self.source}: trained on {said}; scores are too good'
        return ''

    def message(self) -> str:
        """What was found, in sentences; ``''`` when a leak can be ruled out."""
        if not self.known:
            return (
                f'{self.source} does not say which images it was trained on, so it cannot be '
                'ruled out that test images are among them. (Checkpoints of this plugin say it '
                f'when they were trained with TrainingImagesHook; for a folder, {TRAINING_IMAGES} '
                "of the generator's work directory belongs into it.)"
            )
        if not self.found:
            return ''
        example = [
            f for fold in self.found for f in (*fold.files, *fold.group_files, *fold.near_files)
        ]
        example = example[:_EXAMPLES]
        return (
            f'{self.source} has seen the tests: {"; ".join(map(str, self.found))}. For example: '
            f'{", ".join(example)}. Classifiers that train on its images know then '
            'what they are tested on, and their scores are too good.'
        )

    def to_dict(self) -> Dict[str, Any]:
        """Plain containers for JSON."""
        return dict(
            source=self.source,
            known=self.known,
            groups_known=self.groups_known,
            clean=self.clean,
            folds=[asdict(fold) for fold in self.folds],
        )


class LeakError(ValueError):
    """Generators that were trained on test images, or may have been.

    Attributes:
        reports (tuple[LeakReport]): Those that are not clean.
        per_fold (bool): Whether generators are trained per fold already.
    """

    def __init__(self, reports: Sequence[LeakReport], per_fold: bool = False):
        self.per_fold = per_fold
        self.reports = tuple(report for report in reports if not report.clean)
        ways = (_PER_FOLD, *WAYS_OUT[1:]) if per_fold else WAYS_OUT
        lines = [f'- {report.message()}' for report in self.reports]
        lines += ['Three ways out:', *(f'  {n}. {way}' for n, way in enumerate(ways, 1))]
        super().__init__('\n'.join(['The benchmark would not be fair:', *lines]))

    def __reduce__(self):
        return type(self), (self.reports, self.per_fold)


def check_leak(
    fold_plan: FoldPlan,
    source_name: str,
    hashes: Optional[Collection[str]],
    fold: Optional[int] = None,
    known_samples: Iterable[Sample] = (),
    groups: Collection[str] = (),
    near: Collection[str] = (),
) -> LeakReport:
    """Compare a generator's training images with the test images of folds.

    Found are test images themselves and exact copies of them (renamed, losslessly re-encoded),
    near copies of training images that are in the plan or in ``known_samples``, and test images
    whose group a training image is of: by the name of the group, where the generator says those of
    its images, and through such images. Near duplicates are found among synthetic images
    (``near``). Validation images do not count: they choose a checkpoint and are not scored.

    Args:
        fold_plan (FoldPlan): The benchmark's images.
        source_name (str): The generator, for messages.
        hashes (Collection[str] | None): See :func:`training_images_of`. None: unknown.
        fold (int, optional): Index of the only fold that the generator serves. Defaults to None:
            all.
        known_samples (Iterable[Sample]): Images beyond the plan, whose groups count when they
            were trained on: all real images before 400 per class were drawn.
        groups (Collection[str]): See
            :func:`~cellgan_plugin.runs.provenance.training_groups_of`. Defaults to (): not said.
        near (Collection[str]): Contents of real images that its images are near copies of, see
            :func:`near_copies`. Defaults to ().

    Returns:
        LeakReport: One entry per fold that was looked at.
    """
    numbers = range(len(fold_plan.folds)) if fold is None else [fold]
    trained: Set[str] = set(hashes or ())
    everything = [*fold_plan.samples, *known_samples]
    trained_groups = {s.group for s in everything if s.group and s.content in trained}
    pictures = {s.picture for s in everything if s.content in trained}
    names = sorted({sample.group for sample in fold_plan.samples if sample.group})
    by_name = {name: to_hex(group_hashes([name]))[0] for name in names}
    trained_groups |= {name for name, entry in by_name.items() if entry in groups}
    leaks: List[FoldLeak] = []
    for number in numbers:
        test = [fold_plan.samples[index] for index in fold_plan.folds[number].test]
        same = tuple(s.file for s in test if s.content in trained)
        group = tuple(
            s.file for s in test if s.content not in trained and s.group in trained_groups
        )
        said = {*same, *group}
        close = tuple(
            s.file
            for s in test
            if (s.content in near or s.picture in pictures) and s.file not in said
        )
        leaks.append(FoldLeak(number, len(test), same, group, close))
    groups_known = bool(groups) or not names or not trained
    return LeakReport(source_name, hashes is not None, tuple(leaks), groups_known)


def near_copies(fold_plan: FoldPlan, synthetic: np.ndarray, cache: HashCache) -> Set[str]:
    """Contents of the real images that synthetic ones nearly equal, in any of their eight views.

    Args:
        fold_plan (FoldPlan): The benchmark's images.
        synthetic (np.ndarray): Perceptual hashes of synthetic images, uint8 (N, 32).
        cache (HashCache): Knows those of the real images.
    """
    samples = fold_plan.samples
    if not len(synthetic) or not samples:
        return set()
    real = cache.perceptual([sample.file for sample in samples], 'Hashing real images')
    _, bits = nearest_by_hash(real, synthetic)
    limit = near_limit(np.unique(real, axis=0))
    return {
        sample.content for sample, far in zip(samples, bits.tolist(), strict=True) if far <= limit
    }


def seen_beyond(
    fold_plan: FoldPlan,
    source_name: str,
    hashes: Optional[Set[str]],
    fold: Optional[int] = None,
) -> List[str]:
    """What a reader has to know of a generator that has seen more than the classifiers.

    No leak: none of the images tests. But its rows then rest on more real images than the baseline,
    for instance where it was trained on all of a data set of which classifiers get a share.

    Args:
        fold_plan (FoldPlan): The benchmark's images.
        source_name (str): The generator.
        hashes (set[str] | None): See :func:`training_images_of`. None: unknown.
        fold (int, optional): As of :func:`check_leak`. Defaults to None: all.

    Returns:
        list[str]: One sentence, or none.
    """
    beyond = 0
    for number in range(len(fold_plan.folds)) if fold is None else [fold]:
        train = {fold_plan.samples[index].content for index in fold_plan.folds[number].train}
        beyond = max(beyond, len((hashes or set()) - train))
    if not beyond:
        return []
    return [
        f'{source_name}: {beyond} of the {len(hashes)} images that it was trained on train no '
        'classifier of the same fold: its rows rest on more real images than the baseline'
    ]


def refuse_leaks(reports: Sequence[LeakReport], per_fold: bool = False) -> None:
    """Raise one LeakError naming every generator for which a leak cannot be ruled out.

    Args:
        reports (Sequence[LeakReport]): Of all generators.
        per_fold (bool): Whether generators are trained per fold, which is then no way out.
    """
    if not all(report.clean for report in reports):
        raise LeakError(reports, per_fold)
