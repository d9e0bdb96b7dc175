"""Train and resume: what ``tools/train.py`` does, for a notebook.

``python -m cellgan_plugin.runs.train CONFIG ...`` is the same program.
"""

import importlib.util
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Collection, Optional, Sequence, Union

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from cellgan_plugin.compat import TRUST_VARIABLE, start_cpu_process_group
from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.engine.checkpoint import find_resumable
from cellgan_plugin.engine.hooks import ThroughputHook, TimeBudgetHook
from cellgan_plugin.engine.training_cost import read_training_cost
from cellgan_plugin.files import atomic_write
from cellgan_plugin.runs.command_line import ToolParser, add_config_arguments, user_errors
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import merge_options, open_config
from cellgan_plugin.runs.config_fit import check_fit

_run_numbers = itertools.count()  # of the runs of this process


def load_config(
    config: Union[str, Path, Config],
    work_dir: Optional[Union[str, Path]] = None,
    options: Optional[dict] = None,
    parts: Optional[Collection[str]] = ('model',),
) -> Config:
    """Read a config, check it, and settle its work directory.

    Args:
        config (str | Path | Config): File, or a config that has been read already.
        work_dir (str | Path, optional): Defaults to None: the config's own, else
            ``work_dirs/<config name>``.
        options (dict, optional): Overrides, as of ``--cfg-options``. Defaults to None.
        parts (Collection[str], optional): What is read of it, see
            :func:`~cellgan_plugin.runs.config_check.check_config`; None: all.
            Defaults to the model.

    Returns:
        Config: With ``work_dir`` set.

    Raises:
        FileNotFoundError: No such file.
        ConfigError: It cannot be read, or says what nothing reads.
    """
    config = open_config(config)
    merge_options(config, options)
    check_config(config, options, parts)
    if work_dir is not None:
        config.work_dir = str(work_dir)
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(config.filename or 'run').stem)
    return config


def set_trust(trust: bool) -> None:
    """Let checkpoints with pickled objects be loaded in this process (``--trust-checkpoint``)."""
    if trust:
        os.environ[TRUST_VARIABLE] = '1'


def train(
    config: Union[str, Path, Config],
    work_dir: Optional[Union[str, Path]] = None,
    resume: Union[bool, str, Path] = False,
    amp: bool = False,
    options: Optional[dict] = None,
    launcher: str = 'none',
    minutes: Optional[float] = None,
) -> Runner:
    """Train a model.

    Args:
        config (str | Path | Config): The run.
        work_dir (str | Path, optional): See :func:`load_config`.
        resume (bool | str | Path): True: from the newest whole checkpoint of the work directory,
            or from the start where there is none. A path: from that checkpoint.
            Defaults to False.
        amp (bool): Mixed precision: bfloat16 where the device has it, else float16 with loss
            scaling. Defaults to False.
        options (dict, optional): Overrides of the config. Defaults to None.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.
        minutes (float, optional): Stop when so much training time is spent, over all resumes, or
            at ``max_iters``, whichever comes first (``TimeBudgetHook``). Defaults to None.

    Returns:
        Runner: After training.
    """
    config = load_config(config, work_dir, options, parts=None)
    check_fit(config)
    config.launcher = launcher
    start_cpu_process_group(launcher)
    if amp:
        print_log(f'--amp: {enable_amp(config.optim_wrapper)}', logger='current')
    if resume:
        config.resume = True
        if resume is True or resume == 'auto':
            newest = find_resumable(config.work_dir)
            config.resume = newest is not None
            said = f'nothing to resume in {config.work_dir}'
            if newest:
                config.load_from = str(newest)
                said = f'from {newest}'
            elif config.get('load_from'):
                said += f'; starting from the weights of {config.load_from}'
            print_log(f'--resume: {said}', logger='current')
        else:
            config.load_from = str(resume)
    add_tensorboard(config)
    name_run(config)
    runner = Runner.from_cfg(config)
    if minutes is not None:
        if not any(isinstance(hook, ThroughputHook) for hook in runner.hooks):
            runner.register_hook(ThroughputHook())
        runner.register_hook(TimeBudgetHook(minutes))
    runner.train()
    return runner


def is_complete(runner: Runner) -> bool:
    """Whether a run came to its end (``max_iters`` or its time budget) and was not interrupted."""
    spent = any(hook.spent for hook in runner.hooks if isinstance(hook, TimeBudgetHook))
    return spent or runner.iter >= runner.max_iters


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
    final = folder / 'final.pth'
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
    with atomic_write(path, 'w', encoding='utf-8') as file:
        json.dump(report, file, indent=2)


def name_run(config: Config) -> None:
    """Give a run of a process that has trained before a name of its own.

    MMEngine names a run by its config and the second it starts in, and runs of one name share the
    message hub: a short run that follows another at once would go on with its iteration and logs.
    """
    number = next(_run_numbers)
    if number:
        name = config.get('experiment_name') or Path(config.filename or 'run').stem
        config.experiment_name = f'{name}_{number}'


def add_tensorboard(config: Config) -> None:
    """Log to TensorBoard as well, where it is installed."""
    backends = config.get('visualizer', {}).get('vis_backends')
    if backends is None or importlib.util.find_spec('tensorboard') is None:
        return
    if not any('Tensorboard' in backend['type'] for backend in backends):
        backends.append(dict(type='mmengine.TensorboardVisBackend'))


def make_parser(description: Optional[str] = None) -> ToolParser:
    """The command line of ``tools/train.py``."""
    parser = ToolParser(description or __doc__)
    add_config_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the newest whole checkpoint of the work directory, or from a given one',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: bfloat16, or float16 with scaling'
    )
    parser.add_argument(
        '--minutes', type=float, help='stop when so much training time is spent, over all resumes'
    )
    parser.add_argument(
        '--report',
        metavar='FILE',
        help='when the run is complete, and not if it was interrupted, link its last checkpoint '
        'to final.pth in the work directory and write this JSON file',
    )
    return parser


def main(argv: Optional[Sequence[str]] = None, description: Optional[str] = None) -> None:
    """The program ``tools/train.py``.

    Args:
        argv (Sequence[str], optional): Defaults to None: the command line.
        description (str, optional): For ``--help``.
    """
    args = make_parser(description).parse_args(argv)
    set_trust(args.trust_checkpoint)
    with user_errors():
        runner = train(
            args.config,
            work_dir=args.work_dir,
            resume=args.resume or False,
            amp=args.amp,
            options=args.cfg_options,
            launcher=args.launcher,
            minutes=args.minutes,
        )
        if args.report and is_complete(runner):
            write_training_report(runner, args.report)


if __name__ == '__main__':
    main()
