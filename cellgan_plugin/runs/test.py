"""Evaluate a checkpoint: what ``tools/test.py`` does, for a notebook."""

import hashlib
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from cellgan_plugin.checkpoint_files import find_checkpoint
from cellgan_plugin.compat import load_tensors, start_cpu_process_group
from cellgan_plugin.datasets.views import views_of_config
from cellgan_plugin.engine.checkpoint import without_wrappers
from cellgan_plugin.evaluation import ClassDistances
from cellgan_plugin.evaluation.statistics_cache import describe_dataset
from cellgan_plugin.files import file_sha256
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.records import FolderRecord, plain
from cellgan_plugin.runs.data_settings import Data
from cellgan_plugin.runs.provenance import say_training_views, training_views_of
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.safetensors_files import DISCRIMINATORS
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.tables import append_json_lines, draw_table, write_csv

JSON_LINES = 'evaluation.jsonl'
# Of a config: what a test reads.
_PARTS = (
    'model', 'data_preprocessor', 'test_dataloader', 'test_cfg', 'test_evaluator', 'val_dataloader',
    'val_cfg', 'val_evaluator', 'default_hooks', 'env_cfg', 'visualizer', 'log_processor',
    'model_wrapper_cfg', 'randomness',
)  # fmt: skip


def software() -> Dict[str, Any]:
    """Version and commit of this program, and the version of PyTorch, for a record."""
    return dict(cellgan_plugin=__version__, git=git_revision(), torch=torch.__version__)


def git_revision() -> Optional[str]:
    """Commit of this program's repository, ``+changes`` when files differ; None outside of one."""
    folder = Path(__file__).parent
    found = []
    for command in (
        # A package installed inside somebody else's repository is not of that one.
        ['git', 'ls-files', '--error-unmatch', str(Path(__file__).resolve())],
        ['git', 'rev-parse', '--short=12', 'HEAD'],
        ['git', 'status', '--porcelain', '-uno'],
    ):
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode != 0:
            return None
        found.append(done.stdout.strip())
    return found[1] + ('+changes' if found[2] else '')


def write_report(
    folder: Union[str, Path], stem: str, report: Dict[str, Any], head: Dict[str, Any], title: str
) -> List[Path]:
    """Write a report as JSON lines (appended to ``evaluation.jsonl``), CSV and picture.

    Args:
        folder (str | Path): Where to.
        stem (str): Name of the CSV and PNG file.
        report (dict): ``rows``, ``protocol``, ``seconds``, as of ``ClassDistances.report``.
        head (dict): Put in front of every JSON line.
        title (str): Of the picture.

    Returns:
        list[Path]: The three files.
    """
    folder = Path(folder)
    head = dict(time=time.strftime('%Y-%m-%dT%H:%M:%S'), git=git_revision(), **head)
    return [
        append_json_lines(folder / JSON_LINES, report, head),
        write_csv(folder / f'{stem}.csv', report['rows']),
        draw_table(folder / f'{stem}.png', report['rows'], title),
    ]


def _testable(config: Config) -> None:
    """Let a config without a test part be tested as it is validated.

    Raises:
        ValueError: It has neither.
    """
    if config.get('test_evaluator') is not None:
        return
    if config.get('val_evaluator') is None:
        raise ValueError(
            f'{config.filename} says nothing of evaluation: add a base such as '
            "'_base_/evaluation/tct_fid.py', or val_cfg, val_dataloader and val_evaluator"
        )
    loop = dict(config.val_cfg or {})
    if loop.get('type') == 'MultiValLoop':
        loop['type'] = 'MultiTestLoop'
    config.test_cfg = loop
    config.test_dataloader = config.val_dataloader
    config.test_evaluator = config.val_evaluator


def load_weights(model: nn.Module, path: Union[str, Path], state: Optional[dict] = None) -> None:
    """Load a checkpoint that must fit; MMEngine only says what does not, and goes on without it.

    A checkpoint of a distributed run (``generator.module.*``) fits a model of a single process, and
    the other way round.

    Args:
        model (nn.Module): As the Runner built it.
        path (str | Path): The checkpoint.
        state (dict, optional): What it holds, where it has been read already. Defaults to None.

    Raises:
        ValueError: Weights are missing or of another shape. The discriminator of a GAN may be
            absent.
    """
    model = unwrap(model)
    state = load_tensors(path, 'cpu') if state is None else state
    found = without_wrappers(model, state.get('state_dict', state))
    fitting, missing = {}, []
    expected = model.state_dict()
    for (key, own), name in zip(expected.items(), without_wrappers(model, expected), strict=True):
        value = found.get(name)
        if value is not None and value.shape == own.shape:
            fitting[key] = value
        elif not key.startswith(DISCRIMINATORS):
            missing.append(f'{key} {"is missing" if value is None else "has another shape"}')
    if missing:
        raise ValueError(
            f'{path} does not fit the config: {len(missing)} weights ({missing[0]}, ...). Give the '
            'config that it was trained with (a copy lies in the work directory)'
        )
    model.load_state_dict(fitting, strict=False)


def test(
    config: Union[str, Path, Config],
    checkpoint: Union[str, Path],
    work_dir: Optional[Union[str, Path]] = None,
    options: Optional[dict] = None,
    launcher: str = 'none',
    overwrite: bool = False,
    data: Optional[Data] = None,
) -> List[Dict[str, Any]]:
    """Evaluate a checkpoint by the config's ``test_evaluator``, else its ``val_evaluator``.

    The tables are printed, and written into the work directory: ``evaluation.jsonl`` (one line
    per class and run), ``evaluation_<checkpoint>.csv`` and ``.png``.

    Args:
        config (str | Path | Config): The run, of a GAN or of a classifier.
        checkpoint (str | Path): Its weights, or the work directory that holds them (its best
            checkpoint, else its newest).
        work_dir (str | Path, optional): See :func:`~cellgan_plugin.runs.train.load_config`.
        options (dict, optional): Overrides of the config. Defaults to None.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.
        overwrite (bool): Replace tables of the checkpoint's name that are of another evaluation.
            Defaults to False.
        data (str | Path | DataFolder, optional): Data folder, see
            :func:`~cellgan_plugin.runs.data_settings.apply_data`. Defaults to None.

    Returns:
        list[dict]: One report per metric of this plugin (``rows``, ``protocol``, ``seconds``,
        ``files``); empty on other ranks than the first, and for other metrics, whose values
        are in the log.

    Raises:
        FileNotFoundError: No such config, checkpoint or extractor weights.
        RecordError: The work directory has tables of another evaluation under that name.
        ValueError: The config has no evaluation.
    """
    config = load_config(config, work_dir, options, parts=_PARTS, data=data)
    checkpoint = find_checkpoint(checkpoint)
    _testable(config)
    views = training_views_of(checkpoint) or views_of_config(config)
    say_training_views(config, 'test_evaluator', views)
    config_hash = hashlib.sha256(config.pretty_text.encode()).hexdigest()
    asked = {key: plain(config.get(key)) for key in ('model', 'test_evaluator')}
    config.launcher = launcher
    start_cpu_process_group(launcher)
    config.load_from, config.resume = None, False
    # The training set is not needed, and might not be there.
    for key in ('train_cfg', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'val_cfg',
                'val_dataloader', 'val_evaluator', 'custom_hooks'):  # fmt: skip
        config[key] = None
    runner = Runner.from_cfg(config)
    load_weights(runner.model, checkpoint)
    runner.logger.info(f'Weights: {checkpoint}')
    stem = f'evaluation_{checkpoint.stem}'
    loop = runner.test_loop
    loaders = getattr(loop, 'dataloaders', None) or [loop.dataloader]
    images = [describe_dataset(loader.dataset) for loader in loaders]
    made_from = dict(asked, checkpoint_sha256=file_sha256(checkpoint), images=images)
    record = FolderRecord(runner.work_dir, f'{stem}.json', shared=True)
    record.check(made_from, overwrite=overwrite)
    runner.test()

    reports: List[Dict[str, Any]] = []
    if is_main_process():
        evaluators = getattr(runner.test_loop, 'evaluators', None) or [runner.test_loop.evaluator]
        metrics = [m for e in evaluators for m in (e.metrics or []) if m is not None]
        head = dict(
            config=str(config.filename), config_sha256=config_hash, checkpoint=str(checkpoint)
        )
        record.write(made_from)
        for metric in metrics:
            if not isinstance(metric, ClassDistances):
                continue
            number = f'_{len(reports) + 1}' if reports else ''
            title = f'{metric.names[0]}: {checkpoint.name}'
            files = write_report(runner.work_dir, f'{stem}{number}', metric.report, head, title)
            reports.append(dict(metric.report, files=[str(path) for path in files]))
            print_log('Written: ' + ', '.join(map(str, files)), 'current')
    barrier()
    return reports
