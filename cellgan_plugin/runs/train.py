"""Train and resume: the function of ``tools/train.py`` for notebooks.

``python -m cellgan_plugin.runs.train CONFIG ...`` is the same program.
"""

import contextlib
import importlib.util
import itertools
import os
import sys
from pathlib import Path
from typing import Collection, Optional, Sequence, Union

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from cellgan_plugin.checkpoint_files import files_of_a_run, find_resumable
from cellgan_plugin.compat import TRUST_VARIABLE, start_cpu_process_group
from cellgan_plugin.datasets.views import views_of_config
from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.engine.hooks import PreemptionHook, ThroughputHook, TimeBudgetHook
from cellgan_plugin.errors import EXIT_STOPPED, ConfigError
from cellgan_plugin.locks import folder_lock, is_first_process, processes_of
from cellgan_plugin.runs.command_line import (
    ToolParser,
    add_config_arguments,
    add_data_argument,
    user_errors,
)
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import merge_options, open_config
from cellgan_plugin.runs.config_fit import check_fit
from cellgan_plugin.runs.data_settings import Data, apply_data
from cellgan_plugin.runs.provenance import say_training_views
from cellgan_plugin.runs.training_errors import explained_training_errors
from cellgan_plugin.runs.training_report import write_training_report

_run_numbers = itertools.count()  # of the runs of this process


def load_config(
    config: Union[str, Path, Config],
    work_dir: Optional[Union[str, Path]] = None,
    options: Optional[dict] = None,
    parts: Optional[Collection[str]] = ('model',),
    data: Optional[Data] = None,
) -> Config:
    """Read a config, check it, let its data say what it leaves open, and settle its work directory.

    Args:
        config (str | Path | Config): File, or a config that has been read already.
        work_dir (str | Path, optional): Defaults to None: the config's own, else
            ``work_dirs/<config name>``.
        options (dict, optional): Overrides, as of ``--cfg-options``. Defaults to None.
        parts (Collection[str], optional): What is read of it, see
            :func:`~cellgan_plugin.runs.config_check.check_config`; None: all.
            Defaults to the model.
        data (str | Path | DataFolder, optional): Data folder, see
            :func:`~cellgan_plugin.runs.data_settings.apply_data`; it is also asked where ``parts``
            reads data sets. Defaults to None.

    Returns:
        Config: With ``work_dir`` set.

    Raises:
        FileNotFoundError: No such file.
        ConfigError: It cannot be read, says what nothing reads, or contradicts its data.
        DatasetError: The data folder cannot be used.
    """
    config = open_config(config)
    merge_options(config, options)
    check_config(config, options, parts)
    if data is not None or parts is None or any('dataloader' in part for part in parts):
        apply_data(config, data)
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
    cpu_minutes: Optional[float] = None,
    overwrite: bool = False,
    data: Optional[Data] = None,
    global_batch: Optional[int] = None,
) -> Runner:
    """Train a model.

    The work directory is held while the run writes to it: a second run there is refused.

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
        cpu_minutes (float, optional): The same in processor time of the first process, which does
            not depend on what else runs on the machine. Defaults to None.
        overwrite (bool): Start anew in a work directory that holds the checkpoints of a run, which
            are removed. Defaults to False: refuse.
        data (str | Path | DataFolder, optional): Data folder, which says what the config leaves
            open, see :func:`~cellgan_plugin.runs.data_settings.apply_data`. Defaults to None.
        global_batch (int, optional): Images of one step over all processes, which share them.
            Defaults to None: every process takes as many as the config says.

    Returns:
        Runner: After training.

    Raises:
        ConfigError: ``global_batch`` cannot be shared by the processes.
        ValueError: The work directory holds checkpoints, and neither ``resume`` nor ``overwrite``
            is given; or the config or a checkpoint does not fit.
        FolderInUseError: Another process trains in the work directory.
        OutputError: The work directory cannot be written.
        LostProcessError: Another rank or a loader's worker has ended.
    """
    config = load_config(config, work_dir, options, parts=None, data=data)
    check_fit(config)
    with contextlib.ExitStack() as stack:
        stack.enter_context(explained_training_errors(config.work_dir))
        if is_first_process(launcher):
            stack.enter_context(folder_lock(config.work_dir))
        settle_batch(config, processes_of(launcher), global_batch)
        budgets = [
            TimeBudgetHook(time, clock)
            for time, clock in ((minutes, 'wall'), (cpu_minutes, 'cpu'))
            if time is not None
        ]
        return _train(config, resume, amp, launcher, budgets, overwrite)


def settle_batch(config: Config, processes: int, global_batch: Optional[int]) -> None:
    """Say how many images a step of several processes takes, or share a number among them.

    Args:
        config (Config): Its ``train_dataloader.batch_size`` is changed where a number is given.
        processes (int): That train together.
        global_batch (int, optional): See :func:`train`.

    Raises:
        ConfigError: The processes cannot share it equally, or the loader has no ``batch_size``.
    """
    loader = config.get('train_dataloader') or {}
    each = loader.get('batch_size')
    if global_batch is None:
        if processes > 1 and each:
            print_log(
                f'{processes} processes take {each} images each: a step takes '
                f'{processes * each} at an unchanged learning rate. --global-batch {each} shares '
                f'the {each} of one process among them',
                'current',
                30,
            )
        return
    if not each:
        raise ConfigError('--global-batch: train_dataloader has no batch_size that could be shared')
    if global_batch < 1 or global_batch % processes:
        raise ConfigError(
            f'--global-batch {global_batch}: {processes} processes cannot share it equally; '
            f'{max(1, round(global_batch / processes)) * processes} is the nearest'
        )
    loader.batch_size = global_batch // processes


class _RemoveFormerRun(Hook):
    """Removes the files of the run that this one replaces, once it is known that this one starts.

    Args:
        files (Sequence[Path]): Those files.
    """

    def __init__(self, files: Sequence[Path]):
        self.files = files

    def before_run(self, runner: Runner) -> None:
        if is_main_process():
            for path in self.files:
                path.unlink(missing_ok=True)


def _train(
    config: Config,
    resume: Union[bool, str, Path],
    amp: bool,
    launcher: str,
    budgets: Sequence[TimeBudgetHook],
    overwrite: bool,
) -> Runner:
    former = files_of_a_run(config.work_dir)
    if former and not resume and not overwrite:
        raise ValueError(
            f'{config.work_dir} holds a run already ({former[0].name}'
            f'{f" and {len(former) - 1} more" if len(former) > 1 else ""}). Go on with it by '
            '--resume, start anew in its place by --overwrite, which removes these files, or give '
            'another --work-dir'
        )
    config.launcher = launcher
    start_cpu_process_group(launcher)
    if amp:
        print_log(f'--amp: {enable_amp(config.optim_wrapper)}', logger='current')
    if resume:
        _resume_from(config, resume)
    add_tensorboard(config)
    name_run(config)
    say_training_views(config, 'val_evaluator', views_of_config(config))
    runner = Runner.from_cfg(config)
    if budgets and not any(isinstance(hook, ThroughputHook) for hook in runner.hooks):
        runner.register_hook(ThroughputHook())
    for hook in budgets:
        runner.register_hook(hook)
    if overwrite and not resume:
        runner.register_hook(_RemoveFormerRun(former))
    runner.train()
    barrier()  # the end of one rank lets launchers kill the others, which might still write
    return runner


def _resume_from(config: Config, resume: Union[bool, str, Path]) -> None:
    """Say in the config where to go on."""
    config.resume = True
    if resume is not True and resume != 'auto':
        config.load_from = str(resume)
        return
    newest = find_resumable(config.work_dir)
    config.resume = newest is not None
    said = f'nothing to resume in {config.work_dir}'
    if newest:
        config.load_from = str(newest)
        said = f'from {newest}'
    elif config.get('load_from'):
        said += f'; starting from the weights of {config.load_from}'
    print_log(f'--resume: {said}', logger='current')


def is_complete(runner: Runner) -> bool:
    """Whether a run came to its own end, and was not told to stop before it."""
    if runner.iter >= runner.max_iters:
        return True
    return not any(hook.stopped for hook in runner.hooks if isinstance(hook, PreemptionHook))


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
    add_data_argument(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from the newest intact checkpoint of the work directory, or from a given'
        ' one',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='remove the checkpoints of the work directory and start again',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision: bfloat16, or float16 with loss scaling'
    )
    parser.add_argument(
        '--minutes', type=float, help='stop after this training time, summed over all resumes'
    )
    parser.add_argument(
        '--cpu-minutes', type=float,
        help='the same in processor time, for a machine with other work',
    )  # fmt: skip
    parser.add_argument(
        '--report',
        metavar='FILE',
        help='when the run is complete (not if interrupted), link its last checkpoint to '
        'final.pth in the work directory and write this JSON file',
    )
    parser.add_argument(
        '--global-batch', type=int, metavar='N',
        help='images per step in total, shared among the processes (default: the batch size of '
        'the config in each process)',
    )  # fmt: skip
    return parser


def main(argv: Optional[Sequence[str]] = None, description: Optional[str] = None) -> int:
    """The program ``tools/train.py``.

    Args:
        argv (Sequence[str], optional): Defaults to None: the command line.
        description (str, optional): For ``--help``.

    Returns:
        int: Exit status: 0 when the run is complete, ``EXIT_STOPPED`` (75) when it was told to stop
        (SIGTERM, SIGUSR1), has saved, and goes on with ``--resume``.
    """
    parser = make_parser(description)
    args = parser.parse_args(argv)
    if args.resume and args.overwrite:
        parser.error('--resume goes on with a run, --overwrite removes it: give one of them')
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
            cpu_minutes=args.cpu_minutes,
            overwrite=args.overwrite,
            data=args.data,
            global_batch=args.global_batch,
        )
        if not is_complete(runner):
            return EXIT_STOPPED
        if args.report:
            write_training_report(runner, args.report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
