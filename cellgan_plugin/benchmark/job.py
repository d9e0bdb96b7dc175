"""One job of the benchmark, in its own process and its own directory.

python -m cellgan_plugin.benchmark.job WORK_DIR/job.json

A job file says what kind of job it is: ``classifier`` trains one classifier on one fold and
predicts its test images once, ``synthesis`` draws a generator's images, ``selection`` chooses some
of them. Stopped at any moment, the same command continues.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
import torch
from mmengine.runner import Runner

from cellgan_plugin.benchmark.job_files import CURVES_NAME, PREDICTIONS_NAME, WEIGHTS_NAME
from cellgan_plugin.benchmark.predictions import Predictions, write_predictions
from cellgan_plugin.benchmark.selection_job import choose
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.files import write_json
from cellgan_plugin.runs.job_program import DONE_NAME, job_program, train_to_the_end

_CURVE_POINTS = 60


def predict(runner: Runner, loader: dict) -> Predictions:
    """Predict every image of a loader once, with the runner's model as it is.

    Args:
        runner (Runner): Holds the model.
        loader (dict): Config of the data loader, in a fixed order.

    Returns:
        Predictions: In the loader's order.
    """
    dataloader = Runner.build_dataloader(loader, seed=runner.seed)
    dataset = dataloader.dataset
    model = runner.model
    model.eval()
    rows: List[torch.Tensor] = []
    with torch.no_grad():
        for batch in dataloader:
            rows += [sample.pred_score.float().cpu() for sample in model.test_step(batch)]
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    if len(rows) != len(infos):
        raise RuntimeError(f'{len(rows)} predictions for {len(infos)} images')
    return Predictions(
        files=[info['file'] for info in infos],
        labels=np.array([info['gt_label'] for info in infos], dtype=np.int64),
        probabilities=torch.stack(rows).numpy(),
        classes=tuple(dataset.classes),
    )


def training_curves(runner: Runner) -> Dict[str, Any]:
    """What was logged while training, thinned to some 60 points.

    Returns:
        dict: ``train`` and ``val``: name -> ``iteration`` and ``value`` lists. A point of a
        training curve is the mean over the iterations since the point before.
    """
    scalars = runner.message_hub.log_scalars
    curves: Dict[str, Any] = dict(train={}, val={})
    for name in ('loss', 'accuracy_top-1'):
        if f'train/{name}' not in scalars:
            continue
        values = np.asarray(scalars[f'train/{name}'].data[0], dtype=np.float64)
        ends = np.unique(np.linspace(0, len(values), _CURVE_POINTS + 1).round().astype(int))
        total = np.cumsum(np.insert(values, 0, 0.0))
        means = np.diff(total[ends]) / np.diff(ends)
        curves['train'][name] = dict(iteration=ends[1:].tolist(), value=means.tolist())
    if 'val/accuracy/top1' in scalars:
        values = np.asarray(scalars['val/accuracy/top1'].data[0], dtype=np.float64)
        loop = runner.train_loop
        steps = [min(i * loop.val_interval, loop.max_iters) for i in range(1, len(values) + 1)]
        curves['val']['accuracy'] = dict(iteration=steps, value=values.tolist())
    return curves


def run_classifier(work_dir: Path, job: Dict[str, Any]) -> Path:
    """Train a classifier, predict the test images with its final weights, once.

    Args:
        work_dir (Path): Holds ``run.py``.
        job (dict): ``select`` ('last' or 'best'), ``keep_weights`` (bool).

    Returns:
        Path: ``predictions.csv``. Where weights are kept, ``weights.json`` names them and is
        written last.
    """
    runner = train_to_the_end(work_dir)
    weights = work_dir / f'iter_{runner.iter}.pth'
    if job.get('select', 'last') == 'best':
        # The folder may have been moved since.
        weights = work_dir / Path(runner.message_hub.get_info('best_ckpt')).name
        runner.model.load_state_dict(load_tensors(weights, 'cpu')['state_dict'])
    write_json(work_dir / CURVES_NAME, training_curves(runner))
    predictions = predict(runner, runner.cfg.prediction_dataloader)
    path = write_predictions(work_dir / PREDICTIONS_NAME, predictions)
    if job.get('keep_weights', False):
        write_json(work_dir / WEIGHTS_NAME, dict(checkpoint=weights.name))
    else:
        for checkpoint in work_dir.glob('*.pth'):
            checkpoint.unlink()
    return path


def run_synthesis(work_dir: Path, job: Dict[str, Any]) -> Path:
    """Draw the synthetic images of a checkpoint.

    Args:
        work_dir (Path): Of the job.
        job (dict): ``config``, ``checkpoint``, ``out``, ``classes`` (name -> number), ``done``
            (name of the file that says so).

    Returns:
        Path: That file.
    """
    from cellgan_plugin.synthesis.synthesize import synthesize

    # Other jobs run beside this one: as many threads as it was given.
    threads = os.environ.get('OMP_NUM_THREADS')
    workers = int(threads) if threads and not torch.cuda.is_available() else None
    synthesize(
        job['config'], job['checkpoint'], job['out'], classes=job['classes'], workers=workers
    )
    done = work_dir / job.get('done', DONE_NAME)
    write_json(done, dict(out=job['out'], checkpoint=job['checkpoint']))
    return done


def run_selection(work_dir: Path, job: Dict[str, Any]) -> Path:
    """Choose from a pool for every row; see :mod:`cellgan_plugin.benchmark.selection_job`."""
    rows = choose(work_dir, job)
    write_json(work_dir / job['done'], rows)
    return work_dir / job['done']


_KINDS = dict(classifier=run_classifier, synthesis=run_synthesis, selection=run_selection)


def run_job(path: Union[str, Path]) -> Path:
    """Run a job to its end.

    Args:
        path (str | Path): ``job.json``; its folder is the job's work directory.

    Returns:
        Path: What says that it is done.

    Raises:
        JobStopped: It was told to stop (SIGTERM, SIGUSR1) and has saved.
    """
    path = Path(path).resolve()
    job = json.loads(path.read_text(encoding='utf-8'))
    return _KINDS[job['kind']](path.parent, job)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the job file named on the command line."""
    return job_program(run_job, __doc__, arguments)


if __name__ == '__main__':
    sys.exit(main())
