import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from programs import environment_of, run_program, start_program

from cellgan_plugin.phantom import write_phantom_dataset

REPO = Path(__file__).resolve().parents[2]

TINY_CONFIG = """
_base_ = {base!r}
model = dict(
    generator=dict(out_size=32, base_channels=1, sgc_fusion='modulate'),
    discriminator=dict(in_size=32, base_channels=1, decoder_channels=(4, 4)),
    ema_config=dict(start_iter=2))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        data_root={data!r},
        pipeline=[
            dict(type='FitCellPatch', out_size=32),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
train_cfg = dict(max_iters=8)
default_hooks = dict(
    checkpoint=dict(interval=2, max_keep_ckpts=-1),
    logger=dict(interval=1))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=4, samples_per_class=2, real_per_class=1),
]
log_processor = dict(window_size=1)
"""


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """A phantom set of 32 px and a config that trains on it in seconds."""
    root = tmp_path_factory.mktemp('tiny')
    write_phantom_dataset(root / 'data', size=32, counts=4, seed=0)
    config = root / 'tiny.py'
    base = str(REPO / 'configs' / 'cellgan_phantom.py')
    config.write_text(TINY_CONFIG.format(base=base, data=str(root / 'data')))
    return SimpleNamespace(root=root, config=config, data=root / 'data')


def run_tool(*arguments, check=True, env=None, cwd=REPO):
    """Run a tool of the repository as a user would; its output is in the failure message."""
    command = [str(a) for a in arguments]
    if command[0].endswith('.py'):
        command = [sys.executable, *command]
    if command[0] == sys.executable and command[1] != '-c':
        return run_program(*command[1:], check=check, env=env, cwd=cwd)
    result = subprocess.run(
        command, cwd=cwd, env=environment_of(env), capture_output=True, text=True, timeout=900
    )
    if check and result.returncode != 0:
        raise AssertionError(
            f'{" ".join(command)} -> {result.returncode}\n{result.stdout}\n{result.stderr}'
        )
    return result


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def run_on_two_ranks(program, *arguments):
    """:func:`run_tool` on two gloo processes, as torchrun starts them; both their outputs."""
    common = dict(
        WORLD_SIZE='2', LOCAL_WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port())
    )
    with tempfile.TemporaryFile('w+') as said:
        ranks = [
            start_program(
                program, *arguments, output=said, errors=said,
                env=dict(common, RANK=str(rank), LOCAL_RANK=str(rank)),
            )
            for rank in range(2)
        ]  # fmt: skip
        while None in (codes := [rank.poll() for rank in ranks]) and not any(codes):
            time.sleep(0.05)
        for rank in ranks:  # when one has failed the other waits for it
            if any(codes):
                rank.terminate()
        codes = [rank.wait() for rank in ranks]
        said.seek(0)
        result = SimpleNamespace(stdout=said.read())
    assert codes == [0, 0], f'{program} {arguments} -> {codes}\n{result.stdout}'
    return result


def logged_losses(work_dir):
    """{iteration: {loss name: value}} of every log of a work directory, later ones winning."""
    losses = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            losses[row['step']] = {k: v for k, v in row.items() if 'loss' in k or 'disc_' in k}
    return losses
