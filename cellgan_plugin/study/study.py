"""One call from a folder of images to an answer: what ``tools/study.py`` does, for a notebook."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import torch

from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.run import open_benchmark
from cellgan_plugin.comparison.compare import compare
from cellgan_plugin.comparison.plan_reading import read_comparison
from cellgan_plugin.compat import quiet_upstream
from cellgan_plugin.datasets.checks import check_dataset, datasets_of_config
from cellgan_plugin.datasets.data_folder import MOST_SIZE, DataFolder, fitting_size
from cellgan_plugin.errors import ProtocolError, explained_output_errors
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.local import run_jobs
from cellgan_plugin.jobs.outcome import reason_of
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.machine import usable_cores
from cellgan_plugin.records import FolderRecord, plain
from cellgan_plugin.runs.check_run import check_run
from cellgan_plugin.runs.config_file import open_config
from cellgan_plugin.runs.config_values import FOLD
from cellgan_plugin.runs.data_settings import data_folder
from cellgan_plugin.runs.evaluate_folders import ListedFolder, evaluate_folders
from cellgan_plugin.runs.test import software
from cellgan_plugin.runs.training_report import training_command
from cellgan_plugin.selection.image_tree import list_tree
from cellgan_plugin.selection.rules import images_asked
from cellgan_plugin.selection.select import select
from cellgan_plugin.study.budget import POOL, Plan, Step, make_plan
from cellgan_plugin.study.division import divide, fold_folder, write_folds
from cellgan_plugin.study.measure import measure
from cellgan_plugin.study.page import summary, write_study_page
from cellgan_plugin.study.run_files import RunFiles, fixed_size
from cellgan_plugin.study.settings import StudySettings, folders_of
from cellgan_plugin.synthesis.synthesize import synthesize

RECORD = 'study.json'
# Made before the record: known by their content, or made anew.
_BEFORE = ('hashes.json', 'lists', 'check', 'measured', 'configs')
_SIZE_OF_CPU = 64
_MOST_JOBS = 4


@writes_folder('out')
def study(
    data: Union[str, Path, DataFolder],
    out: Union[str, Path] = 'study',
    settings: Optional[StudySettings] = None,
    dry_run: bool = False,
) -> Dict[str, Any]:
    """Do synthetic images help a classifier of these images, and which generator makes them?

    Check, split by group, the data set's own classifier, generators, distances and memorisation,
    selection, and the benchmark that cannot leak: each step is a verb with a folder of its own
    below ``out`` and a config in ``out/configs``, so that it can be repeated with its own tool. How
    long generators train is measured in a few steps on this machine. The same call continues what
    was interrupted.

    Args:
        data (str | Path | DataFolder): Class folders, or a folder with ``manifest.csv``.
        out (str | Path): A new folder, or that of the same study. Defaults to 'study'.
        settings (StudySettings, optional): Defaults to None: all defaults, four hours.
        dry_run (bool): Check, measure and show the plan; train nothing. Defaults to False.

    Returns:
        dict: ``plan`` (:class:`~cellgan_plugin.study.budget.Plan`), ``failures`` (name of a job to
        what went wrong) and ``out``.

    Raises:
        DatasetError: The images cannot be used.
        FoldError: A class has too few images or groups to be divided.
        ProtocolError: Settings that do not fit the images or the time.
        RecordError: ``out`` belongs to something else.
        KeyboardInterrupt: Interrupted; the jobs have saved, the same call goes on.
    """
    return _Study(data_folder(data), Path(out), settings or StudySettings()).run(dry_run)


def jobs_at_a_time(settings: StudySettings) -> int:
    """How many jobs run at a time: as asked, else one per GPU, or per core up to four."""
    return settings.jobs or torch.cuda.device_count() or min(_MOST_JOBS, usable_cores())


def size_of(settings: StudySettings, folder: DataFolder) -> int:
    """Side of the images of a study, in pixels.

    Raises:
        ProtocolError: Two generators say different sizes, or another than the settings.
    """
    sizes = {}
    for name, path in settings.trained.items():
        with quiet_upstream():
            said = fixed_size(open_config(path))
        if said is not None:
            sizes[name] = said
    wanted = {settings.size} - {None} | set(sizes.values())
    if len(wanted) > 1:
        said = ', '.join(f'{name} {size}' for name, size in sizes.items())
        asked = f'; asked for {settings.size}' if settings.size else ''
        raise ProtocolError(f'all generators of a study make images of one size: {said} px{asked}')
    if wanted:
        return wanted.pop()
    most = MOST_SIZE if torch.cuda.is_available() else _SIZE_OF_CPU
    return min(most, fitting_size(folder.median_side))


def check_given(files: RunFiles) -> None:
    """Refuse images whose generator has seen tests, before anything is trained.

    Args:
        files (RunFiles): Of a study whose configs are written.

    Raises:
        LeakError: A generator has seen test images, or does not say what it has seen.
    """
    given = files.settings.given
    if not given:
        return
    protocol = read_protocol(files.folder / 'benchmark.py')
    own = replace(
        protocol,
        generators=tuple(one for one in protocol.generators if one.name in given),
        rows=tuple(row for row in protocol.rows if row.generator in given),
    )
    open_benchmark(own, files.out / 'benchmark')


class _Study:
    def __init__(self, folder: DataFolder, out: Path, settings: StudySettings):
        self.folder, self.out, self.settings = folder, out, settings
        self.began = time.monotonic()
        self.workers = jobs_at_a_time(settings)
        self.record = FolderRecord(out, RECORD, keep=_BEFORE, can_overwrite=False)
        self.said: Dict[str, Any] = {}
        self.failures: Dict[str, str] = {}

    def run(self, dry_run: bool) -> Dict[str, Any]:
        """All steps, or those of a dry run."""
        self.record.read()  # somebody else's folder is refused before anything is written
        self.print(f'Data: {self.folder.describe()}')
        for note in self.folder.notes:
            self.print(f'- {note}')
        with explained_output_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
            division = divide(self.folder, self.out)
            files = RunFiles(self.settings, division, self.out, size_of(self.settings, self.folder))
            made_from = self.made_from(files)
            before = self.record.check(made_from)
            for note in division.notes:
                self.print(f'- {note}')
            self.print(f'- images are brought to {files.size} x {files.size} px')
            if before is None:
                self.check(files)
                speeds = measure(files, self.out / 'measured', self.workers)
                spent = (time.monotonic() - self.began) / 60
                plan = make_plan(self.settings, division, speeds, self.workers, spent)
                self.said = dict(speeds=asdict(speeds), plan=plan.to_dict())
            else:
                plan = Plan.from_dict(before['plan'])
                self.said = {key: before.get(key) for key in ('speeds', 'plan', 'took')}
            self.print('\n' + plan.to_text(self.settings.hours) + '\n')
            write_folds(division, plan.folds, self.out)
            if not dry_run:
                files.write(plan)
                check_given(files)
                self.write(made_from, files)
                self.steps(made_from, files, plan)
                record = self.record.read()
                write_study_page(self.out, record)
                self.print(summary(self.out, record))
        return dict(plan=plan, failures=self.failures, out=str(self.out))

    @staticmethod
    def print(text: str) -> None:
        """Say something; logs see it at once."""
        print(text, flush=True)

    def made_from(self, files: RunFiles) -> Dict[str, Any]:
        """What decides the results."""
        asked = asdict(self.settings)
        for key in ('title', 'jobs'):
            asked.pop(key)
        return plain(
            dict(
                images=files.division.digest,
                classes=list(self.folder.classes),
                size=files.size,
                settings=asked,
            )
        )

    def write(self, made_from: Dict[str, Any], files: RunFiles) -> None:
        """Write the record: what the study was made from, its plan, what every step took."""
        self.record.write(
            dict(
                made_from,
                **self.said,
                title=files.title,
                data=self.folder.root,
                data_said=self.folder.describe(),
                division=dict(counts=files.division.counts, notes=list(files.division.notes)),
                held_out=files.division.held_out,
                failures=self.failures,
                **software(),
            )
        )

    def check(self, files: RunFiles) -> None:
        """Look at every image, and build what will be trained."""
        first = next(iter(self.settings.trained), None)
        config = files.classifier(1) if first is None else files.generator(first, 1, None)
        report = check_dataset(*datasets_of_config(config))
        self.print(report.to_text())
        report.save(self.out / 'check')
        if report.harmful:
            raise ProtocolError(
                f'the images are not ready: mend what {self.out / "check" / "report.txt"} calls an '
                'error, then give the same command'
            )
        check_run(config)

    def steps(self, made_from: Dict[str, Any], files: RunFiles, plan: Plan) -> None:
        """Everything that takes time, in order; what is done is not done again."""
        work: List[Tuple[Tuple[str, ...], Callable[[], None]]] = [
            (("data set's own classifier",), lambda: self.classifier(files)),
            (('generators', 'distances, memorisation'), lambda: self.generators(files)),
            (('selection',), lambda: self.selection(files)),
            (
                ('generators per fold', 'pools, selection per fold', 'classifiers'),
                lambda: self.benchmark(files),
            ),
        ]
        took = dict(self.said.get('took') or {})
        for names, do in work:
            parts: List[Step] = [part for part in plan.parts if part.name in names]
            if not parts:
                continue
            what, minutes = ', '.join(p.name for p in parts), sum(p.minutes for p in parts)
            over = (time.monotonic() - self.began) / 60
            self.print(f'\n== {what}: about {minutes:.1f} min ({over:.1f} min are over)')
            began = time.monotonic()
            try:
                do()
            finally:  # what is interrupted has taken its time, too
                took[what] = round(took.get(what, 0) + (time.monotonic() - began) / 60, 2)
                self.said['took'] = took
                self.write(made_from, files)

    def classifier(self, files: RunFiles) -> None:
        """Train the classifier that evaluates."""
        folder = self.out.absolute() / 'classifier'
        report = folder / 'training.json'
        command = training_command(files.classifier_file, folder, report, '--resume')
        self.finish(run_jobs([Job('classifier', command, folder, report)], 1))

    def finish(self, results: Dict[str, Any]) -> None:
        """ProtocolError for the first job without which nothing goes on."""
        failed = next((result for result in results.values() if not result.ok), None)
        if failed is not None:
            raise ProtocolError(
                f'{failed.name}: {reason_of(failed)}. Its log is in {self.out}; the same command '
                'does it again'
            )

    def generators(self, files: RunFiles) -> None:
        """Train the generators and evaluate them."""
        self.evaluate_given(files)
        if not files.compares:
            return
        plan = read_comparison(files.folder / 'comparison.py')
        result = compare(plan, self.out / 'generators', workers=self.workers)
        self.failures.update(result['failures'])
        missing = [n for n in self.settings.trained if not files.checkpoint(n).is_file()]
        if missing:
            raise ProtocolError(
                f'generator {missing[0]!r} was not trained: '
                f'{next(iter(result["failures"].values()), "not done")}. Its log is in '
                f'{self.out / "generators"}; the same command does it again'
            )

    def evaluate_given(self, files: RunFiles) -> None:
        """Distances and memorisation of images that are there already.

        Of images by fold those of the first, against its test images.
        """
        folder = files.division.folder
        for name, given in self.settings.given.items():
            out = self.out / 'evaluated' / slug(name)
            if (out / 'evaluation.jsonl').is_file():
                continue
            real = ListedFolder(folder.root, folder.ann_file, files.division.held_out)
            training = real._replace(split='train')
            if FOLD in given['folder']:
                at = fold_folder(self.out, 0).absolute()
                real, training = (
                    ListedFolder(folder.root, str(at / f'{part}.csv')) for part in ('test', 'train')
                )
            evaluate_folders(
                real, folders_of(given)[0],
                dict(type='ClassifierFeatures', config=str(files.classifier_file),
                     checkpoint=str(self.out / 'classifier')),
                classes=folder.classes, training=training, size=files.size,
                options=dict(interval='never', few_images=30), work_dir=out, overwrite=True,
            )  # fmt: skip

    def selection(self, files: RunFiles) -> None:
        """Images to keep: of the generators that were trained on the training part."""
        train = files.division.counts['train']
        asked = {name: images_asked(self.settings.ratio, n) for name, n in train.items()}
        folder = files.division.folder
        real = list_tree(folder.root, folder.classes, folder.ann_file, 'real images', 'train')
        for name in self.settings.trained:
            stem = files.generator_file(name).stem
            candidates = self.out / 'synthetic' / stem
            synthesize(
                files.generator_file(name), files.checkpoint(name), candidates,
                classes={label: POOL * number for label, number in asked.items()},
            )  # fmt: skip
            select(
                candidates, real, files.classifier_file, self.out / 'classifier',
                self.out / 'selected' / stem, ratio=self.settings.ratio,
            )  # fmt: skip

    def benchmark(self, files: RunFiles) -> None:
        """Classifiers with and without synthetic images."""
        protocol = read_protocol(files.folder / 'benchmark.py')
        results = open_benchmark(protocol, self.out / 'benchmark').conduct(self.workers)
        self.failures.update({r.name: reason_of(r) for r in results.values() if not r.ok})
