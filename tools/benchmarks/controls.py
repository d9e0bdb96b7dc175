"""Does the benchmark report false gains? Phantoms replace a generator's images: the truth is known.

python tools/benchmarks/controls.py --out work_dirs/controls

Every fold has its own real, test and added images, all new phantoms. So folds are independent, and
the paired t-test over them is valid without correction. With equal steps the benchmark adds

true process     other phantoms, what a perfect generator would make     expected: helps
shuffled labels  the same phantoms, labels exchanged                     expected: harms
copies           the fold's real images again                            expected: no evidence
more steps       no image, but twice the steps                           expected: no evidence

The last row holds if the baseline has converged in these steps. "unequal steps" shows the false
gain that the benchmark's default avoids: the baseline trained for the steps of the rows above,
against the baseline trained for as many epochs.

With --study the first three become folders for tools/study.py, with a data set of seven classes and
mixed sizes that no tool knows; the commands are printed. There are copies per fold, of its training
images: copies of all images would include test images of another fold, which is refused.

python tools/benchmarks/controls.py --study --out work_dirs/controls_study
"""

import shutil
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from cellgan_plugin.benchmark.classifier_run import classifier_run, read_classifier, write_run
from cellgan_plugin.benchmark.job import run_job
from cellgan_plugin.benchmark.predictions import read_predictions
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.scores import compute_scores
from cellgan_plugin.benchmark.statistics import compare_with_baseline
from cellgan_plugin.benchmark.verdict import Verdict, verdict_of
from cellgan_plugin.datasets.content_hash import (
    group_hashes,
    read_training_images,
    write_provenance,
)
from cellgan_plugin.datasets.data_folder import read_data_folder
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.manifest import read_manifest, write_manifest
from cellgan_plugin.files import write_json
from cellgan_plugin.phantom import generate_phantom, write_phantom_dataset
from cellgan_plugin.processes import run_in_processes
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.runs.config_values import FOLD
from cellgan_plugin.study.division import divide, fold_folder, write_folds

BASELINE, TRUE, SHUFFLED, COPIES = 'real images', 'true process', 'shuffled labels', 'copies'
MORE_STEPS = 'more steps'
FEW, UNEQUAL = 'real images, as many epochs', 'unequal steps'
ARMS = (BASELINE, TRUE, SHUFFLED, COPIES, MORE_STEPS)
CLASSIFIER = 'configs/classifiers/benchmark_resnet18_64.py'
CLASSES = ('NILM', 'LSIL', 'HSIL')
DEFAULTS = dict(size=64, real=20, added=100, tested=50, folds=5, steps=300)
STUDY = dict(size=48, real=20, added=300, folds=10, workers=4)
# Of the classifiers: what is right from many images is learnt slower than what is wrong is seen.
STUDY_STEPS = {TRUE: 300, SHUFFLED: 150, COPIES: 150}
STUDY_KINDS = dict(
    blast='NILM', eosinophil='ASC-US', lymphocyte='LSIL', monocyte='ASC-H', neutrophil='HSIL',
    platelet='NILM', reticulocyte='HSIL',
)  # fmt: skip

Images = List[Tuple[str, str]]  # file, label


def _part(root: Path, name: str, images: Images) -> Dict[str, str]:
    rows = [dict(file=file, label=label) for file, label in images]
    path = write_manifest(root / 'lists' / f'{name}.csv', rows, ('file', 'label'))
    return dict(data_root=str(root), ann_file=str(path.absolute()))


def _copied(root: Path, images: Images, count: int, fold: int) -> Images:
    """Files of the same content."""
    made = []
    for number in range(count):
        file, label = images[number % len(images)]
        target = f'copies/{label}/{fold}_{number}.png'
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, root / target)
        made.append((target, label))
    return made


def controls(
    out: Path,
    classifier: Path,
    size: int = 64,
    real: int = 20,
    added: int = 100,
    tested: int = 50,
    folds: int = 5,
    steps: int = 300,
    classes: Sequence[str] = CLASSES,
) -> Tuple[Dict[str, List[float]], Dict[str, Verdict]]:
    """Train the classifiers and say what the benchmark would say.

    Args:
        out (Path): A new folder.
        classifier (Path): An MMPretrain config.
        size (int): Of the phantoms in pixels. Defaults to 64.
        real (int): Real images per class and fold. Defaults to 20.
        added (int): Images added to them. Defaults to 100.
        tested (int): Test images. Defaults to 50.
        folds (int): Independent ones. Defaults to 5.
        steps (int): Of every training but two rows. Defaults to 300.
        classes (Sequence[str]): Defaults to three.

    Returns:
        tuple: Accuracy in every fold by row, and the verdict of every row.
    """
    splits = dict(train=real, val=added, test=tested)
    counts = {name: dict.fromkeys(classes, n * folds) for name, n in splits.items()}
    write_phantom_dataset(out, size=size, splits=counts, seed=0)
    listed: Dict[str, Dict[str, Images]] = {name: {c: [] for c in classes} for name in splits}
    for row in read_manifest(out / 'manifest.csv'):
        listed[row['split']][row['label']].append((row['file'], row['label']))
    (out / 'lists').mkdir()
    config = read_classifier(str(classifier))
    found: Dict[str, List[float]] = {name: [] for name in (*ARMS, FEW)}

    def accuracy(name: str, train: List[dict], test: dict, steps: int) -> float:
        folder = out / 'jobs' / name.replace(' ', '_')
        folder.mkdir(parents=True)
        run = classifier_run(config, classes, train, None, test, steps, 0)
        write_run(run, folder / 'run.py')
        write_json(folder / 'job.json', dict(kind='classifier'))
        predicted = read_predictions(run_job(folder / 'job.json'), classes)
        return compute_scores(predicted.probabilities, predicted.labels, classes).accuracy

    for fold in range(folds):
        own = {
            name: [image for c in classes for image in listed[name][c][fold::folds]]
            for name in splits
        }
        labels = [label for _, label in own['val']]
        shuffled = rng_for(0, 'controls', fold).permutation(labels).tolist()
        extra: Dict[str, Images] = {
            BASELINE: [],
            TRUE: own['val'],
            SHUFFLED: [(f, s) for (f, _), s in zip(own['val'], shuffled, strict=True)],
            COPIES: _copied(out, own['train'], len(own['val']), fold),
            MORE_STEPS: [],
        }
        base = _part(out, f'train_{fold}', own['train'])
        test = _part(out, f'test_{fold}', own['test'])
        for name, images in extra.items():
            parts = [_part(out, f'{name}_{fold}', images)] if images else []
            many = 2 * steps if name == MORE_STEPS else steps
            found[name].append(accuracy(f'{name} {fold}', [base, *parts], test, many))
        alone = max(1, round(steps * real / (real + added)))
        found[FEW].append(accuracy(f'few {fold}', [base], test, alone))

    def verdicts(scores: Dict[str, List[float]], baseline: str) -> Dict[str, Verdict]:
        # New images in every fold: nothing is shared that the variance had to be corrected for.
        compared = compare_with_baseline(scores, baseline, real * len(classes), 0)
        mean = sum(scores[baseline]) / folds
        return {
            name: verdict_of(d, 'classifier', name, 'Accuracy', mean, len(compared))
            for name, d in compared.items()
        }

    # A benchmark of one row each.
    said: Dict[str, Verdict] = {}
    for name in ARMS[1:]:
        said.update(verdicts({BASELINE: found[BASELINE], name: found[name]}, BASELINE))
    unequal = verdicts({FEW: found[FEW], UNEQUAL: found[BASELINE]}, FEW)
    return found, {**said, **unequal}


def study_folders(
    out: Path,
    size: int = 48,
    real: int = 20,
    added: int = 300,
    folds: int = 10,
    workers: int = 1,
    kinds: Mapping[str, str] = STUDY_KINDS,
) -> Dict[str, str]:
    """Write a data set for ``tools/study.py``, and images in the place of a generator's.

    Args:
        out (Path): A new folder. It gets ``cells``, class folders with a manifest that says the
            slides; ``true_process`` and ``shuffled_labels``, other images of the same process;
            ``copies/fold1`` and so on, the training images of the folds.
        size (int): The median one, in pixels; others are a quarter smaller and larger. Defaults
            to 48.
        real (int): Images per class. Defaults to 20.
        added (int): Images per class of the true process. Defaults to 300.
        folds (int): Of the study. Defaults to 10.
        workers (int): Processes. Defaults to 1.
        kinds (Mapping[str, str]): Class name -> class of the phantoms; where it comes again, the
            colour channels are moved on by one. Defaults to seven.

    Returns:
        dict[str, str]: Name of a control -> what ``--generators`` takes.
    """
    cells = _write_kinds(out / 'cells', kinds, 'cells', real, size, workers)
    columns = ('file', 'label', 'group')
    write_manifest(out / 'cells' / 'manifest.csv', cells, columns)
    true = _write_kinds(out / 'true_process', kinds, 'added', added, size, workers)
    labels = [row['label'] for row in true]
    shuffled = rng_for(0, 'controls').permutation(labels).tolist()
    for name, given in (('true_process', labels), ('shuffled_labels', shuffled)):
        for row, label in zip(true, given, strict=True):
            target = out / name / label / Path(row['file']).name
            if not target.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(out / 'true_process' / row['file'], target)
        write_provenance(out / name, group_hashes(row['group'] for row in true))
    write_folds(divide(read_data_folder(out / 'cells'), out), folds, out)
    for fold in range(folds):
        lists, target = fold_folder(out, fold), out / 'copies' / f'fold{fold + 1}'
        for row in read_manifest(lists / 'train.csv'):
            (target / row['label']).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / 'cells' / row['file'], target / row['file'])
        write_provenance(target, read_training_images(lists))
    return {
        TRUE: f'{out}/true_process',
        SHUFFLED: f'{out}/shuffled_labels',
        COPIES: f'{out}/copies/fold{FOLD}',
    }


class _Image(NamedTuple):
    """A phantom to be written: its channels moved on by ``turn``."""

    path: Path
    kind: str
    size: int
    seed: int
    split: str
    turn: int


def _write_image(image: _Image) -> str:
    """Write a phantom; its slide."""
    made = generate_phantom(image.kind, image.size, image.seed, image.split, image.turn)
    write_png(image.path, np.roll(made.image, image.turn, axis=-1))
    return f'{made.slide} of {image.seed}'


def _write_kinds(
    root: Path, kinds: Mapping[str, str], split: str, count: int, size: int, workers: int
) -> List[Dict[str, str]]:
    """Write images of every class, of three sizes, one of each class from a slide.

    Returns:
        list[dict]: Rows of a manifest.
    """
    images, labels, seen = [], [], Counter()
    for name, kind in kinds.items():
        for number in range(count):
            side = (size, size * 3 // 4, size * 5 // 4)[number % 3]
            path = root / name / f'{split}_{name}_{number}.png'
            images.append(_Image(path, kind, side, number, split, seen[kind]))
            labels.append(name)
        seen[kind] += 1
    slides = list(run_in_processes(_write_image, images, workers))
    return [
        dict(file=f'{label}/{image.path.name}', label=label, group=slide)
        for image, label, slide in zip(images, labels, slides, strict=True)
    ]


def main() -> int:
    parser = ToolParser(__doc__)
    parser.add_argument('--out', type=Path, required=True, help='a new folder')
    parser.add_argument('--study', action='store_true', help='write folders for tools/study.py')
    parser.add_argument('--classifier', type=Path, default=Path(CLASSIFIER))
    parser.add_argument('--workers', type=int, help='processes that write images (default: 4)')
    for name, default in DEFAULTS.items():
        shown = f'{default}, with --study {STUDY[name]}' if name in STUDY else f'{default}'
        parser.add_argument(f'--{name}', type=int, help=f'number (default: {shown})')
    args: Dict[str, Any] = vars(parser.parse_args())
    args.pop('import_modules')
    for_study = args.pop('study')
    known = STUDY if for_study else DEFAULTS
    args = {name: value for name, value in args.items() if name in (*known, 'out', 'classifier')}
    args.update({name: value for name, value in known.items() if args[name] is None})
    with user_errors():
        if for_study:
            made = study_folders(args['out'], **{name: args[name] for name in STUDY})
            for name, folder in made.items():
                print(
                    f"python tools/study.py {args['out']}/cells --generators '{name}={folder}' "
                    f'--ratio {args["added"] // args["real"]} --rows added --size {args["size"]} '
                    f'--folds {args["folds"]} --steps {STUDY_STEPS[name]} --seeds 0 1 '
                    f'--out {args["out"]}/study_{slug(name)}'
                )
            return 0
        found, verdicts = controls(**args)
        said = {name: asdict(verdict) for name, verdict in verdicts.items()}
        write_json(args['out'] / 'controls.json', dict(accuracy=found, verdicts=said))
        print('| Training images | Accuracy in every fold | Mean | Verdict |')
        print('| --- | --- | ---: | --- |')
        for name, scores in found.items():
            each = ', '.join(f'{100 * score:.0f}' for score in scores)
            verdict = verdicts.get(name)
            sentence = '' if verdict is None else verdict.sentence
            print(f'| {name} | {each} | {100 * np.mean(scores):.1f} | {sentence} |')
        print(f'\n{verdicts[UNEQUAL].sentence}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
