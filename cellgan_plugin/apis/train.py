"""Train and resume: what ``tools/train.py`` does, for a notebook."""

import importlib.util
import os
from pathlib import Path
from typing import Optional, Union

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from cellgan_plugin.compat import TRUST_VARIABLE, start_cpu_process_group
from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.engine.checkpoint import find_resumable
from cellgan_plugin.models.model_checks import check_model_config


def load_config(
    config: Union[str, Path, Config],
    work_dir: Optional[Union[str, Path]] = None,
    options: Optional[dict] = None,
) -> Config:
    """Read a config and settle its work directory.

    Args:
        config (str | Path | Config): File, or a config that has been read already.
        work_dir (str | Path, optional): Defaults to None: the config's own, else
            ``work_dirs/<config name>``.
        options (dict, optional): Overrides, as of ``--cfg-options``. Defaults to None.

    Returns:
        Config: With ``work_dir`` set.
    """
    if not isinstance(config, Config):
        if not Path(config).is_file():
            raise FileNotFoundError(f'config {config} does not exist')
        config = Config.fromfile(config)
    if options:
        config.merge_from_dict(options)
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

    Returns:
        Runner: After training.
    """
    config = load_config(config, work_dir, options)
    check_model_config(config.get('model') or {})
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
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def add_tensorboard(config: Config) -> None:
    """Log to TensorBoard as well, where it is installed."""
    backends = config.get('visualizer', {}).get('vis_backends')
    if backends is None or importlib.util.find_spec('tensorboard') is None:
        return
    if not any('Tensorboard' in backend['type'] for backend in backends):
        backends.append(dict(type='mmengine.TensorboardVisBackend'))
