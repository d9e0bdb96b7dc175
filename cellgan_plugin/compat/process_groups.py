"""Process groups without an accelerator."""

import atexit


def _close_process_group() -> None:
    # Threads of a group that is still open when the interpreter ends can abort the process, and
    # with it a run that was complete (torch 2.11, gloo).
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def start_cpu_process_group(launcher: str) -> bool:
    """Start ``gloo`` before the Runner does, where there is no accelerator; close any at exit.

    For: mmengine 0.10.7, whose ``init_dist`` calls ``torch.cuda.set_device`` unconditionally, but
    is skipped by the Runner when a process group exists.

    Args:
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``, as of the tools.

    Returns:
        bool: Whether a process group was started here.
    """
    import torch
    import torch.distributed as dist

    if launcher == 'none':
        return False
    atexit.register(_close_process_group)
    if torch.cuda.is_available() or dist.is_initialized():
        return False
    if launcher != 'pytorch':
        raise ValueError(
            f'--launcher {launcher} needs GPUs; on CPUs start the processes with torchrun '
            '(tools/dist_train.sh), which is --launcher pytorch'
        )
    dist.init_process_group('gloo')
    return True
