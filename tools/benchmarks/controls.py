"""Can the benchmark flatter? Phantoms, whose truth is known, in place of a generator's images.

python tools/benchmarks/controls.py --out work_dirs/controls

Every fold has real images, test images and added images of its own, all new phantoms, so that folds
are independent and the paired t-test over them holds as it is. At the same number of steps it adds

true process     other phantoms, what a perfect generator would make     expected: helps
shuffled labels  the same phantoms, labels exchanged                     expected: harms
copies           the fold's real images again                            expected: no evidence

"more steps" compares the real images alone with themselves, for the steps that the rows above take
and for as many epochs: the gain that equal steps, the benchmark's default, keep out of the table.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from cellgan_plugin.benchmark.classifier_run import classifier_run, read_classifier, write_run
from cellgan_plugin.benchmark.job import run_job
from cellgan_plugin.benchmark.predictions import read_predictions
from cellgan_plugin.benchmark.scores import compute_scores
from cellgan_plugin.benchmark.statistics import compare_with_baseline
from cellgan_plugin.benchmark.verdict import Verdict, verdict_of
from cellgan_plugin.datasets.manifest import read_manifest, write_manifest
from cellgan_plugin.files import write_json
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.runs.command_line import ToolParser, user_errors

BASELINE, TRUE, SHUFFLED, COPIES = 'real images', 'true process', 'shuffled labels', 'copies'
FEW, MORE_STEPS = 'real images, their own epochs', 'more steps'
ARMS = (BASELINE, TRUE, SHUFFLED, COPIES)
CLASSIFIER = 'configs/classifiers/benchmark_resnet18_64.py'
CLASSES = ('NILM', 'LSIL', 'HSIL')

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
        steps (int): Of every training. Defaults to 300.
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
        }
        base = _part(out, f'train_{fold}', own['train'])
        test = _part(out, f'test_{fold}', own['test'])
        for name, images in extra.items():
            parts = [_part(out, f'{name}_{fold}', images)] if images else []
            found[name].append(accuracy(f'{name} {fold}', [base, *parts], test, steps))
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
    for name in (TRUE, SHUFFLED, COPIES):
        said.update(verdicts({BASELINE: found[BASELINE], name: found[name]}, BASELINE))
    unequal = verdicts({FEW: found[FEW], MORE_STEPS: found[BASELINE]}, FEW)
    return found, {**said, **unequal}


def main() -> int:
    parser = ToolParser(__doc__)
    parser.add_argument('--out', type=Path, required=True, help='a new folder')
    parser.add_argument('--classifier', type=Path, default=Path(CLASSIFIER))
    for name, default in dict(size=64, real=20, added=100, tested=50, folds=5, steps=300).items():
        parser.add_argument(f'--{name}', type=int, default=default, help=f'default: {default}')
    args: Dict[str, Any] = vars(parser.parse_args())
    args.pop('import_modules')
    with user_errors():
        found, verdicts = controls(**args)
        write_json(args['out'] / 'controls.json', dict(accuracy=found))
        print(json.dumps(found, indent=1))
        for name, verdict in verdicts.items():
            print(f'{name}: {verdict.outcome}. {verdict.sentence}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
