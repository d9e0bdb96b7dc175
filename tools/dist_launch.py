"""Start a tool on several processes: torchrun with meaningful exit statuses.

python tools/dist_launch.py --nproc_per_node=4 tools/train.py CONFIG --launcher pytorch

Arguments are torchrun's. SIGTERM and SIGUSR1 reach every process as SIGTERM, so that a training
saves (within the 30 s that torchrun waits) and stops. Exit status: 0 when all processes are done,
75 when they were told to stop (--resume continues), 130 after Ctrl-C, else that of the first
process that ended.
"""

import os
import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

STOPPED = 75  # cellgan_plugin.errors.EXIT_STOPPED, without importing a package for seconds


def how_they_ended(exit_codes):
    """Exit status of this program, and what to say.

    Args:
        exit_codes (dict): Of the processes that failed, by rank, the first to fail first; negative
            numbers are signals.

    Returns:
        tuple[int, str]: 75 where processes were stopped and nothing worse happened.
    """
    # When one process has ended torchrun ends the others by SIGTERM.
    causes = {r: code for r, code in exit_codes.items() if code != -signal.SIGTERM}
    if causes and all(code == STOPPED for code in causes.values()):
        return STOPPED, 'the processes were told to stop and have saved'
    rank, code = next(iter((causes or exit_codes).items()))
    if code >= 0:
        return code or 1, f'process {rank} of the run ended with status {code}; it says why above'
    name = signal.Signals(-code).name
    hint = ' (often: memory ran out)' if name == 'SIGKILL' else ''
    return 128 - code, (
        f'process {rank} of the run was ended by {name}{hint}, and the others with it. The same '
        'command with --resume goes on from the last checkpoint'
    )


def main(arguments=None):
    # torchrun dies of SIGUSR1, and its processes train on without it.
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        run(parse_args(arguments))
    except ChildFailedError as error:
        failures = sorted(error.failures.items(), key=lambda item: item[1].timestamp)
        status, message = how_they_ended({rank: f.exitcode for rank, f in failures})
    except SignalException as error:
        # torchrun has handed it on, and waited.
        status = 130 if error.sigval == signal.SIGINT else STOPPED
        message = f'{error.sigval.name}: the processes were told to stop'
    else:
        return 0
    print(message, file=sys.stderr)
    return status


if __name__ == '__main__':
    sys.exit(main())
