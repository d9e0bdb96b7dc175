"""Compare generators: train what is missing, sample, evaluate alike, and write tables and picture.

The function of ``tools/compare.py`` for notebooks.
"""

import argparse
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np

from cellgan_plugin.comparison.checks import (
    COMPARISON,
    TrainingSets,
    check_classes,
    check_parts,
    evaluation_classes,
    evaluation_facts,
    folder_record,
    read_evaluation,
)
from cellgan_plugin.comparison.figure import figure, made_images, real_samples
from cellgan_plugin.comparison.grey_frames import grey_frames
from cellgan_plugin.comparison.page import FIGURE, write_comparison_page
from cellgan_plugin.comparison.parts import Evaluation, lay_out
from cellgan_plugin.comparison.plan import ComparisonPlan
from cellgan_plugin.comparison.plan_reading import BUDGETS, parse_models, read_comparison
from cellgan_plugin.comparison.progress import ProgressLine
from cellgan_plugin.comparison.report import tables
from cellgan_plugin.comparison.results import ComparisonResults
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.local import run_jobs
from cellgan_plugin.jobs.outcome import JobResult
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_data_argument,
    add_job_launcher,
    add_key_values,
    add_overwrite,
    add_trust,
    user_errors,
)
from cellgan_plugin.runs.data_settings import data_folder
from cellgan_plugin.runs.test import software
from cellgan_plugin.runs.train import set_trust
from cellgan_plugin.visualization.page import PAGE_NAME
from cellgan_plugin.visualization.report_tables import write_report_table

# The line of a log that says what went wrong.
_ERROR = re.compile(r'^(?:\w+\.)*\w*(?:error|exception|interrupt)\b.*', re.IGNORECASE)


def failure_text(result: JobResult) -> str:
    """What went wrong with a job in one line, for the footnote of its row."""
    lines = [line.strip() for line in result.message.splitlines() if line.strip()]
    if not lines:
        return f'{result.name} failed'
    if result.state == 'skipped':
        return lines[0]
    said = next((line for line in reversed(lines[1:]) if _ERROR.match(line)), None)
    return f'{result.name} {lines[0]}' + (f': {said}' if said else '')


@writes_folder('out')
def compare(
    comparison: ComparisonPlan,
    out: Union[str, Path],
    only: Optional[Sequence[str]] = None,
    workers: int = 1,
    launcher: str = 'local',
    slurm_options: Optional[Mapping[str, Any]] = None,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Run a comparison as far as it is not done, and write its tables, picture and record.

    Every training, and every evaluation, runs in a process of its own with its output in
    ``job.log`` of its folder. What is done is not done again; what was done with other settings
    or images is refused. One model's failure leaves the others.

    Args:
        comparison (ComparisonPlan): See :func:`read_comparison`.
        out (str | Path): Output folder, of this comparison alone.
        only (Sequence[str], optional): Names of the models to work on; the tables have all that
            are done. Defaults to None: all.
        workers (int): Jobs at a time on this machine, round-robin over its GPUs. Times and speeds
            in the table are those of busy neighbours then. Defaults to 1.
        launcher (str): 'local' or 'slurm', see :func:`~cellgan_plugin.jobs.local.run_jobs`.
        slurm_options (Mapping, optional): See there.
        overwrite (bool): Do again what was done with other settings or images; former trainings
            are kept in ``<model>/former``. Defaults to False.

    Returns:
        dict: ``rows`` (as in ``table.json``), ``failures`` (name of a job to what went wrong),
        ``files`` (what was written).

    Raises:
        DatasetError: Training or real images cannot be read.
        FileNotFoundError: Data, or weights of an extractor, are missing.
        KeyboardInterrupt: Interrupted; the jobs have saved, the same call goes on.
        RecordError: A folder of something else, or parts that were made from something else.
        ValueError: Configs that do not fit together. All are raised before anything is trained.
    """
    out = Path(out)
    names = [model.name for model in comparison.models]
    unknown = sorted(set(only or ()) - set(names))
    if unknown:
        raise ValueError(f'--only {unknown[0]!r}: the models are {names}')
    if comparison.data is not None:
        print(f'Data: {data_folder(comparison.data).describe()}', flush=True)
    evaluation = read_evaluation(comparison)
    classes = evaluation_classes(evaluation)
    check_classes(comparison, classes)
    record = folder_record(out)
    record.check(dict(name=comparison.name, classes=classes))
    facts, real = evaluation_facts(comparison, evaluation)
    training_sets = TrainingSets()
    parts = lay_out(comparison, out, evaluation, facts, training_sets.images)
    chosen = [part for part in parts if part.model in (only or names)]
    if not overwrite:
        record.refuse([line for part in chosen for line in part.differs()])
    remarks = check_parts(comparison, chosen, real, training_sets)
    for remark in remarks:
        print(f'note: {remark}', flush=True)

    _write(comparison, parts, {}, out, real, remarks, classes)  # the folder is ours from here on
    jobs = _prepare(chosen)
    failures: Dict[str, str] = {}
    if jobs:
        trains = any(part.trainings for part in chosen)
        budget = f'{comparison.budget_text()}; ' if trains else ''
        print(f'{len(jobs)} jobs; {budget}logs are in {out}', flush=True)
        try:
            with ProgressLine(jobs):
                results = run_jobs(
                    jobs, workers=workers, launcher=launcher, slurm_options=slurm_options
                )
        except KeyboardInterrupt:
            _write(comparison, parts, {}, out, real, remarks, classes)
            raise
        failures = {r.name: failure_text(r) for r in results.values() if not r.ok}
    else:
        print('everything is done already', flush=True)
    return _write(comparison, parts, failures, out, real, remarks, classes)


def _prepare(parts: Sequence[Evaluation]) -> List:
    jobs = []
    for part in parts:
        said = [training.prepare() for training in part.trainings]
        said.append(part.prepare())
        for text in filter(None, said):
            print(text, flush=True)
        if part.stale() is not None:
            jobs += [training.as_job() for training in part.trainings]
            jobs.append(part.as_job())
    return jobs


def _write(
    plan: ComparisonPlan,
    parts: Sequence[Evaluation],
    failures: Mapping[str, str],
    out: Path,
    real: Any,
    remarks: Sequence[str],
    classes: Sequence[str],
) -> Dict[str, Any]:
    """Write what there is; also called before the work, when it is little or nothing."""
    results = ComparisonResults(plan, parts, failures)
    files: List[Path] = []
    images = made_images(results)
    shown: List[List[np.ndarray]] = []
    if images:
        options = plan.figure
        shown = real_samples(real, len(classes), options.samples_per_class, options.seed)
    grey = grey_frames(images, shown)
    made = tables(results, remarks, grey)
    for stem, table in made.items():
        files += write_report_table(out, stem, table)
    sheet = figure(results, images, shown)
    if sheet is not None:
        write_png(out / FIGURE, sheet)
        files.append(out / FIGURE)
    else:  # what lies there is of parts that no longer hold
        stale = [out / FIGURE, out / PAGE_NAME, *out.glob('table.*'), *out.glob('distances.*')]
        for path in stale:
            path.unlink(missing_ok=True)
    files.append(out / COMPARISON)
    write_json(out / COMPARISON, dict(_record(plan, results, classes, remarks), grey=grey))
    if sheet is not None:
        files.append(write_comparison_page(out))
    return dict(
        rows=made['table'].rows if made else [],
        failures=dict(failures),
        files=[str(path) for path in files],
    )


def _record(
    plan: ComparisonPlan, results: ComparisonResults, classes: Sequence[str], remarks: Sequence[str]
) -> Dict[str, Any]:
    models = []
    for model in plan.models:
        trainings = []
        for part in (p for p in results.parts if p.model == model.name):
            trainings.append(
                dict(
                    seed=part.seed if model.trained else None,
                    folder=str(part.folder.parent),
                    stages=[dict(folder=str(t.folder), **(t.report or {})) for t in part.trainings],
                    settings=[t.settings for t in part.trainings],
                    result=results.found[part.job],
                )
            )
        models.append(
            dict(
                name=model.name,
                settings=model.settings,
                stages=[
                    {**asdict(stage), 'config': str(stage.config), 'checkpoint': stage.checkpoint
                     and str(stage.checkpoint)}
                    for stage in model.stages
                ],
                sample_kwargs=model.sample_kwargs,
                missing=results.missing(model.name),
                trainings=trainings,
            )
        )  # fmt: skip
    return dict(
        name=plan.name,
        title=plan.title,
        classes=list(classes),
        time=time.strftime('%Y-%m-%dT%H:%M:%S'),
        **software(),
        evaluation=str(plan.evaluation),
        evaluation_options=plan.evaluation_options,
        options=plan.options,
        minutes=plan.minutes,
        cpu_minutes=plan.cpu_minutes,
        iterations=plan.iterations,
        samples_per_class=plan.samples_per_class,
        seeds=list(plan.seeds),
        amp=plan.amp,
        data=plan.data,
        figure=asdict(plan.figure),
        remarks=list(remarks),
        failures=results.failures,
        models=models,
    )


def make_parser(description: Optional[str] = None) -> ToolParser:
    """The command line of ``tools/compare.py``."""
    parser = ToolParser(description or __doc__)
    parser.add_argument(
        'config', nargs='?', help='comparison config, e.g. configs/comparisons/*.py'
    )
    parser.add_argument(
        '--models',
        nargs='+',
        metavar='NAME=CONFIG[:CKPT]',
        help='models to compare, in place of those of a config',
    )
    parser.add_argument('--evaluation', metavar='CONFIG', help='evaluation config for every model')
    add_data_argument(parser)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument('--minutes', type=float, help='training time per model')
    budget.add_argument(
        '--cpu-minutes', type=float,
        help='the same in processor time, for a machine with other work',
    )  # fmt: skip
    budget.add_argument('--iterations', type=int, help='training iterations per model')
    parser.add_argument(
        '--seeds', type=int, nargs='+', help='seeds, one training each (default: 0)'
    )
    parser.add_argument(
        '--samples-per-class', type=int, metavar='N', help='generated images per class to evaluate'
    )
    parser.add_argument(
        '--figure-samples', type=int, metavar='N', help='images per class and model in the picture'
    )
    parser.add_argument(
        '--no-real', action='store_true', help='leave the row of real images out of the picture'
    )
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    add_key_values(parser, '--cfg-options', "override every model's config")
    add_key_values(parser, '--evaluation-options', 'override the evaluation')
    parser.add_argument('--out', help='output folder (default: work_dirs/comparisons/<name>)')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='run only these models')
    add_overwrite(parser, 'repeat parts that were made with other settings or images')
    parser.add_argument('--workers', type=int, default=1, help='jobs that run at the same time')
    add_job_launcher(parser)
    add_trust(parser)
    return parser


def _overrides(args: argparse.Namespace) -> Dict[str, Any]:
    budget = {k: v for k in BUDGETS if (v := getattr(args, k)) is not None}
    figure_options: Dict[str, Any] = {}
    if args.figure_samples is not None:
        figure_options['samples_per_class'] = args.figure_samples
    if args.no_real:
        figure_options['real'] = False
    values = dict(
        models=args.models and parse_models(args.models),
        evaluation=args.evaluation,
        budget=budget,
        seeds=args.seeds,
        samples_per_class=args.samples_per_class,
        figure=figure_options,
        options=args.cfg_options,
        evaluation_options=args.evaluation_options,
        data=args.data,
        amp=args.amp or None,
    )
    return {key: value for key, value in values.items() if value not in (None, {})}


def main(argv: Optional[Sequence[str]] = None, description: Optional[str] = None) -> int:
    """The program ``tools/compare.py``.

    Returns:
        int: Exit status: 0 when every model is in the table, 1 when one failed.
    """
    parser = make_parser(description)
    args = parser.parse_args(argv)
    if args.config is None and not (args.models and args.evaluation):
        parser.error('which comparison? give a config, or --models and --evaluation')
    set_trust(args.trust_checkpoint)
    with user_errors(continues=True):
        plan = read_comparison(args.config, _overrides(args))
        out = Path(args.out or Path('work_dirs') / 'comparisons' / plan.name)
        result = compare(
            plan, out, args.only, args.workers, args.launcher, args.slurm_options, args.overwrite
        )
    table = out / 'table.md'
    if result['rows'] and table.is_file():
        print('\n' + table.read_text(encoding='utf-8'))
    for text in result['failures'].values():
        print(f'failed: {text}')
    print('Written: ' + ', '.join(result['files']))
    return 1 if result['failures'] else 0


if __name__ == '__main__':
    raise SystemExit(main())
