"""Do few labels suffice: what ``tools/segmentation_benchmark.py`` does, for a notebook.

Label ratios x methods x seeds, each training in a process of its own; tables and pictures as of
Li et al. 2022 (Tables 2 to 8, Fig. 6 and 7).
"""

import json
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.datasets.whole_images import files_by_name
from cellgan_plugin.evaluation.segmentation import part_scores
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.outcome import JobResult, reason_of
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.models.losses.perceptual import VGG_VARIABLE, perceptual_weights
from cellgan_plugin.records import plain
from cellgan_plugin.runs.config_values import training_scale
from cellgan_plugin.runs.experiment import Experiment, ExperimentRecord
from cellgan_plugin.runs.test import software
from cellgan_plugin.segmentation.epochs import share_epochs
from cellgan_plugin.segmentation.evaluate_masks import CLASSES_DIR, SCORES_NAME, read_scores
from cellgan_plugin.segmentation.figures import draw_improvements, draw_score_curves
from cellgan_plugin.segmentation.job import (
    GENERATED,
    JOB_NAME,
    MASK_SAMPLES,
    MASKS_DIR,
    ORIGINALS,
    SAMPLES_DIR,
    job_images,
    job_meaning,
)
from cellgan_plugin.segmentation.page import RECORD_NAME, write_segmentation_page
from cellgan_plugin.segmentation.plan import (
    Division,
    SegmenterRun,
    check_runs,
    divisions,
    identity,
    segmenter_runs,
    write_job,
)
from cellgan_plugin.segmentation.protocol import SegmentationProtocol
from cellgan_plugin.segmentation.results import (
    TITLES,
    SegmentationResults,
    Trained,
    generation_table,
    normalised_improvements,
    parts_table,
    per_class_table,
    ratio_table,
    size_table,
    with_published,
)
from cellgan_plugin.segmentation.sheets import as_cell
from cellgan_plugin.visualization.contact_sheet import image_grid
from cellgan_plugin.visualization.mask_colours import mask_picture
from cellgan_plugin.visualization.report_tables import write_report_table

_SHEET_IMAGES = 4


class SegmentationBenchmark(Experiment):
    """A segmentation benchmark that was checked and can be run.

    Making one lists and hashes the images, divides them, and refuses what would not be fair;
    nothing is trained.

    Args:
        protocol (SegmentationProtocol): See
            :func:`~cellgan_plugin.segmentation.protocol.read_segmentation_protocol`.
        out_dir (str | Path): Work directory.

    Attributes:
        divisions (list[Division]): One, or one per fold.
        cells (list[SegmenterRun]): All trainings.
        left_out (list[str]): What cannot be trained, and why.

    Raises:
        DatasetError: Images that cannot be used.
        ConfigError: The networks or transforms of a method cannot be built.
        FoldError: Images that cannot be divided.
        ProtocolError: A mistake in the protocol, or test images that are trained on.
        RecordError: ``out_dir`` holds the results of other settings or images.
    """

    def __init__(self, protocol: SegmentationProtocol, out_dir: Union[str, Path]):
        self.protocol = protocol
        self.out_dir = Path(out_dir)
        self.divisions: List[Division] = divisions(protocol, self.out_dir)
        self.runs: List[SegmenterRun]
        self.runs, self.left_out = segmenter_runs(protocol, self.divisions, self.out_dir)
        share_epochs(self.runs)
        check_runs(self.runs)
        decides = dict(runs={cell.job: identity(cell, protocol) for cell in self.runs})
        self._record = ExperimentRecord(self.out_dir, RECORD_NAME, decides, 'runs')

    def describe(self) -> str:
        """Images, methods and jobs as text, for a person to read before anything runs."""
        lines = []
        for division in self.divisions:
            fold = '' if division.fold is None else f'fold {division.fold + 1}: '
            lines.append(
                f'{fold}{len(division.train_pairs)} training images, {len(division.test_pairs)} '
                'test images'
            )
        lines += [f'- {note}' for note in self.notes()]
        lines.append(f'{len(self.runs)} trainings: ' + ', '.join(dict.fromkeys(
            cell.method for cell in self.runs)))  # fmt: skip
        return '\n'.join(lines)

    def notes(self) -> List[str]:
        """What a reader of the tables has to know."""
        protocol = self.protocol
        first = self.divisions[0]
        notes = [
            f'{len(first.train_pairs)} training and {len(first.test_pairs)} test images'
            + (f' in each of {protocol.folds} folds' if protocol.folds else '')
            + '; whole test images, masks of overlapping tiles averaged; final weights'
        ]
        shared = [division.shared_groups for division in self.divisions]
        if any(count for count, _ in shared):
            count, known = shared[0]
            notes.append(
                f'NOT BY PATIENT: {count} of {known} test images are of patients who have training '
                'images as well'
            )
        elif not any(known for _, known in shared):
            notes.append('Patients are not known: train and test images may be of the same ones')
        if any(method.transductive for method in protocol.methods):
            notes.append(
                'Transductive: the test images are trained on without their masks; other rows are '
                'inductive'
            )
        scales = sorted({training_scale(cell.config) for cell in self.runs})
        if scales != [1.0]:
            said = ', '.join(f'{scale:g}' for scale in scales)
            notes.append(
                f'Images are seen at {said} of their size; masks are enlarged to all of it and '
                'scored there'
            )
        by = 'patient' if protocol.labelled_by == 'group' else 'image'
        notes.append(f'Labelled images are chosen by {by} and seed; more labels include the fewer')
        if protocol.rule:
            notes.append('Objects: ' + ', '.join(f'{k}={v}' for k, v in protocol.rule.items()))
        off = [
            run.method for run in self.runs
            if (config := run.config.model.get('perceptual_loss'))
            and perceptual_weights(config) is None
        ]  # fmt: skip
        if off:
            notes.append(
                f'NO PERCEPTUAL TERM in {", ".join(dict.fromkeys(off))}, since {VGG_VARIABLE} is '
                'not set: the discriminator alone holds their images, while pix2pix keeps its L1. '
                'Rows of images cannot be compared with the paper, nor with each other'
            )
        return [*notes, *protocol.notes, *self.left_out]

    def jobs(self) -> List[Job]:
        """Write what the jobs read, and make the jobs."""
        said = dict(
            title=self.protocol.title,
            protocol=plain(vars(self.protocol) | dict(
                methods=[vars(method) for method in self.protocol.methods])),
            notes=self.notes(),
            **software(),
            started=time.strftime('%Y-%m-%dT%H:%M:%S'),
        )  # fmt: skip
        self._record.write(said)
        by_fold = {division.fold: division for division in self.divisions}
        return [write_job(cell, self.protocol, by_fold[cell.fold]) for cell in self.runs]

    # Results ------------------------------------------------------------------------------------

    def results(self, jobs: Optional[Mapping[str, JobResult]] = None) -> SegmentationResults:
        """Read what is done.

        Args:
            jobs (Mapping[str, JobResult], optional): Of :meth:`run`: why jobs failed.
        """
        trained = []
        for cell in self.runs:
            one = Trained(**cell.said)
            path = cell.work_dir / SCORES_NAME
            if path.is_file():
                scores, classes = read_scores(path)
                one.scores = part_scores(scores, classes)
                said = json.loads(path.read_text(encoding='utf-8'))
                one.iterations, one.generation = said.get('iterations'), said.get('generation')
            else:
                one.message = reason_of((jobs or {}).get(cell.job))
            trained.append(one)
        protocol = self.protocol
        over = [
            f'{len(values)} {name}'
            for name, values in (('folds', self.divisions), ('seeds', protocol.seeds))
            if len(values) > 1
        ]
        notes = self.notes()
        steps: Dict[str, set] = {}
        for one in trained:
            if one.iterations:
                steps.setdefault(one.method, set()).add(one.iterations)
        if steps:
            said = '; '.join(
                f'{method} {min(found)}' + (f' to {max(found)}' if len(found) > 1 else '')
                for method, found in steps.items()
            )
            notes.append(f'Training iterations over all scales: {said}')
        return SegmentationResults(
            trained,
            protocol.title,
            notes,
            protocol.ratios,
            protocol.sizes,
            protocol.classes,
            ' x '.join(over),
        )

    def write(self, jobs: Optional[Mapping[str, JobResult]] = None) -> List[Path]:
        """Write tables and pictures of what is done.

        Args:
            jobs (Mapping[str, JobResult], optional): See :meth:`results`.

        Returns:
            list[Path]: The files; Markdown tables among them.
        """
        files = self._write_parts(jobs)
        return [*files, write_segmentation_page(self.out_dir)]

    def _write_parts(self, jobs: Optional[Mapping[str, JobResult]]) -> List[Path]:
        results, out, protocol = self.results(jobs), self.out_dir, self.protocol
        files: List[Path] = []
        largest = max(protocol.ratios)
        if protocol.generation:
            files += write_report_table(out, 'generation', generation_table(results, largest))
            files += filter(None, [self._generation_sheet()])
        if not protocol.metrics:
            return files
        if protocol.sizes:
            for metric in protocol.metrics:
                table = size_table(results, metric, largest)
                files += write_report_table(out, f'sizes_{metric}', table)
        else:
            tables = {metric: ratio_table(results, metric) for metric in protocol.metrics}
            tables['glas_metrics'] = parts_table(results, largest)
            tables['pixel_scores'] = per_class_table(results, largest)
            for name, table in tables.items():
                # The papers' tables by part and by class are of all masks.
                if name in protocol.metrics or largest == 1:
                    table = with_published(table, protocol.published, name)
                files += write_report_table(out, name, table)
        files.append(self._draw_curves(results))
        if protocol.baseline and not protocol.sizes:
            metric = protocol.metrics[0]
            shares = normalised_improvements(results, metric, protocol.baseline)
            title = f'Where the improvement of {TITLES[metric]} comes from'
            files.append(
                draw_improvements(out / 'improvements.png', shares, protocol.baseline, title)
            )
        sheet = self._mask_sheet()
        return files if sheet is None else [*files, sheet]

    def _draw_curves(self, results: SegmentationResults) -> Path:
        protocol = self.protocol
        panels: Dict[str, Dict[str, Dict[float, List[float]]]] = {}
        for metric in protocol.metrics:
            curves: Dict[str, Dict[float, List[float]]] = {}
            for method in results.methods:
                points: Dict[float, List[float]] = {}
                for one in results.of(method):
                    value = one.value(metric)
                    if value is not None:
                        x = one.size if protocol.sizes else one.ratio
                        points.setdefault(x, []).append(value)
                curves[method] = points
            panels[TITLES[metric]] = curves
        label = 'input size (px)' if protocol.sizes else 'share of training images with a mask'
        path = self.out_dir / 'scores.png'
        return draw_score_curves(path, panels, protocol.title, label, percent=not protocol.sizes)

    def _shown_run(self, method: str) -> SegmenterRun:
        """The run of a method that pictures show: the fewest masks, the first fold and seed."""
        runs = [run for run in self.runs if run.method == method]
        return min(runs, key=lambda r: (r.ratio, -(r.size or 0), r.fold or 0, r.seed))

    def _generation_sheet(self) -> Optional[Path]:
        """Images of the same masks by every method, masks above and originals below (Fig. 3)."""
        rows: Dict[str, List[np.ndarray]] = {}
        for method in dict.fromkeys(run.method for run in self.runs):
            folder = self._shown_run(method).work_dir / SAMPLES_DIR
            for name, shown in ((MASK_SAMPLES, 'mask'), (GENERATED, method), (ORIGINALS, '')):
                # Every run has the same masks and originals: those of the first are shown.
                shown = shown or 'original'
                files = sorted(folder.glob(f'{name}_*.png'))
                if files and shown not in rows:
                    rows[shown] = [load_image(str(file)) for file in files]
        if not rows:
            return None
        rows['original'] = rows.pop('original')
        path = self.out_dir / 'generation.png'
        write_png(path, image_grid(list(rows.values()), list(rows)))
        return path

    def _mask_sheet(self) -> Optional[Path]:
        """Predicted masks of a few test images by every method, at the smallest share of masks."""
        rows: Dict[str, Dict[str, np.ndarray]] = {}
        names: List[str] = []
        for method in dict.fromkeys(cell.method for cell in self.runs):
            cell = self._shown_run(method)
            folder = cell.work_dir
            if not (folder / SCORES_NAME).is_file():
                continue
            masks = files_by_name(folder / MASKS_DIR / CLASSES_DIR)
            if not rows:
                step = max(1, len(masks) // _SHEET_IMAGES)
                names = list(masks)[::step][:_SHEET_IMAGES]
                if self.protocol.show_truth:
                    rows['true masks'] = self._true_masks(folder, names)
            shown = f'{method}, {cell.ratio:.0%}'
            rows[shown] = {name: load_mask(str(masks[name])) for name in names if name in masks}
        if not rows:
            return None
        pictures = [
            [as_cell(mask_picture(masks[name])) for name in names if name in masks]
            for masks in rows.values()
        ]
        write_png(self.out_dir / 'masks.png', image_grid(pictures, list(rows)))
        return self.out_dir / 'masks.png'

    @staticmethod
    def _true_masks(folder: Path, names: Sequence[str]) -> Dict[str, np.ndarray]:
        job = json.loads((folder / JOB_NAME).read_text(encoding='utf-8'))
        meaning = job_meaning(job)
        images = {image.name: image for image in job_images(job)}
        return {name: meaning.read(images[name])[0] for name in names}

    def table(self) -> str:
        """The written tables by metric, in Markdown."""
        start = 'sizes_' if self.protocol.sizes else ''
        paths = [self.out_dir / f'{start}{metric}.md' for metric in self.protocol.metrics]
        paths += [self.out_dir / 'generation.md'] if self.protocol.generation else []
        return '\n'.join(p.read_text(encoding='utf-8') for p in paths if p.is_file())


@writes_folder('out_dir')
def segmentation_benchmark(
    protocol: SegmentationProtocol,
    out_dir: Union[str, Path],
    workers: Optional[int] = None,
    devices: Optional[Sequence[Union[int, str]]] = None,
    launcher: str = 'local',
    slurm_options: Optional[Mapping[str, Any]] = None,
) -> Dict[str, JobResult]:
    """Run a segmentation benchmark and write its tables and pictures.

    Args:
        protocol (SegmentationProtocol): The benchmark.
        out_dir (str | Path): Work directory; what is done there is not done again.
        workers (int, optional): See :func:`~cellgan_plugin.jobs.local.run_jobs`, as the others.
        devices (Sequence, optional): Defaults to None.
        launcher (str): 'local' or 'slurm'. Defaults to 'local'.
        slurm_options (Mapping, optional): Defaults to None.

    Returns:
        dict[str, JobResult]: By job. What failed is said in the tables.
    """
    experiment = SegmentationBenchmark(protocol, out_dir)
    return experiment.conduct(workers, devices, launcher, slurm_options)
