"""Programs as a user starts them, without the seconds in which other packages are imported."""

import functools
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cellgan_plugin.jobs.fork_server import ForkServer

REPO = Path(__file__).resolve().parents[1]
# Not our own package and none of OpenMMLab: what a program imports of these, and in which order,
# is a part of what is tested.
OTHERS = (
    'torch', 'torch._dynamo', 'torch.utils.tensorboard', 'torch.utils.cpp_extension',
    'torchvision', 'matplotlib.pyplot', 'cv2', 'tifffile', 'PIL.Image', 'rich', 'scipy.stats',
)  # fmt: skip


@functools.cache
def _server():
    return ForkServer(OTHERS, {**os.environ, 'OMP_NUM_THREADS': '1'})


def environment_of(env=None):
    """This process's environment with one thread, and ``env``; None takes a variable out."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable, **(env or {})}
    return {name: value for name, value in environment.items() if value is not None}


def start_program(*arguments, output, errors, env=None, cwd=REPO):
    """Start a script of this Python, or ``-m`` and a module, as subprocess.Popen does.

    ``env`` as of :func:`environment_of`.
    """
    environment = environment_of(env)
    program = [str(argument) for argument in arguments]
    if program[0] != '-m':
        program[0] = str(Path(cwd, program[0]))
    if environment.get('PYTHONPATH') != _server().environment.get('PYTHONPATH'):
        return subprocess.Popen(
            [sys.executable, *program], env=environment, cwd=cwd, stdout=output, stderr=errors
        )
    files = (output.fileno(), errors.fileno())
    return _server().start(program, environment, *files, folder=str(cwd))


def run_program(*arguments, check=True, env=None, cwd=REPO, timeout=900):
    """Run a program to its end, as subprocess.run does; its output is in the failure message."""
    with tempfile.TemporaryFile('w+') as output, tempfile.TemporaryFile('w+') as errors:
        program = start_program(*arguments, output=output, errors=errors, env=env, cwd=cwd)
        late = threading.Timer(timeout, program.terminate)
        late.start()
        status = program.wait()
        late.cancel()
        for file in (output, errors):
            file.seek(0)
        result = subprocess.CompletedProcess(arguments, status, output.read(), errors.read())
    if check and status != 0:
        words = ' '.join(map(str, arguments))
        raise AssertionError(f'{words} -> {status}\n{result.stdout}\n{result.stderr}')
    return result
