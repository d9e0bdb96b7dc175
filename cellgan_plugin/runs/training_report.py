"""A training as a job: its command, and the report that says that it is complete."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Tuple, Union

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from cellgan_plugin.checkpoint_files import FINAL_CHECKPOINT, find_resumable
from cellgan_plugin.engine.training_cost import read_training_cost
from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.job import module_command


def training_command(
    config: Union[str, Path], work_dir: Path, report: Path, *options: Any
) -> Tuple[str, ...]:
    """The command that trains, for a job that is done when ``report`` is there."""
    return module_command(
        'cellgan_plugin.runs.train', config, '--work-dir', work_dir, '--report', report, *options
    )


def write_training_report(runner: Runner, path: Union[str, Path]) -> None:
    """Say that a run is complete, for whatever waits for it; other processes than the first: no-op.

    ``final.pth`` in the work directory becomes the last checkpoint (a link to it where the file
    system has hard links), so that its path is known before the run; ``path`` is written after it.

    Args:
        runner (Runner): Of a complete run.
        path (str | Path): JSON file: ``checkpoint`` (final.pth), ``iterations``, ``classes`` and
            ``cost`` (see :class:`~cellgan_plugin.engine.training_cost.TrainingCost`).

    Raises:
        FileNotFoundError: The run has left no checkpoint.
    """
    if not is_main_process():
        return
    folder = Path(runner.work_dir)
    newest = find_resumable(folder)
    if newest is None:
        raise FileNotFoundError(f'{folder} has no checkpoint although the run is complete')
    final = folder / FINAL_CHECKPOINT
    for left in folder.glob('.final.*'):  # by a process that was killed here
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix='.final.') as temporary:
        copy = Path(temporary) / final.name
        try:
            os.link(newest, copy)
        except OSError:  # a file system without hard links
            shutil.copyfile(newest, copy)
        os.replace(copy, final)
    cost = read_training_cost(final)
    report = dict(
        checkpoint=str(final),
        iterations=runner.iter,
        classes=list(getattr(runner.train_dataloader.dataset, 'metainfo', {}).get('classes') or ()),
        cost=None if cost is None else cost.as_dict(),
    )
    write_json(path, report)
