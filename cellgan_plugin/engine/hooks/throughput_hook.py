"""How fast, and how much memory."""

import resource
import sys
import time
from typing import Optional

import torch
from mmagic.registry import HOOKS
from mmengine.dist import get_world_size
from mmengine.hooks import Hook


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Logs ``it_per_s``, ``img_per_s`` (all ranks together) and, on a CPU, ``memory_mb``.

    MMEngine logs the memory of CUDA devices by itself. The rates are of the time between the ends
    of two iterations, so that waiting for data, validation and saving count.
    """

    priority = 'ABOVE_NORMAL'  # before the logger reads

    def __init__(self):
        self._last: Optional[float] = None

    def before_train(self, runner) -> None:
        """Forget the clock of an earlier run."""
        self._last = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Update the scalars."""
        now = time.perf_counter()
        if self._last is not None:
            seconds = max(now - self._last, 1e-9)
            images = runner.train_dataloader.batch_size * get_world_size()
            runner.message_hub.update_scalar('train/it_per_s', 1 / seconds)
            runner.message_hub.update_scalar('train/img_per_s', images / seconds)
        self._last = now
        if not torch.cuda.is_available():
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            # Kilobytes on Linux, bytes on macOS.
            megabytes = peak / (2**20 if sys.platform == 'darwin' else 2**10)
            runner.message_hub.update_scalar('train/memory_mb', megabytes)
