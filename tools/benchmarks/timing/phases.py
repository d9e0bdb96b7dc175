"""The time of each phase of a computation, compared with the peak of the machine."""

import contextlib
import time
from typing import Callable, Dict, Iterator, List, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from timing.machine import synchronize

# What shows what a device can do: side of the matrices, images that are convolved, floats copied.
CPU_SIZES, GPU_SIZES = (2048, 2, 2**26), (8192, 64, 2**28)


def _seconds(device: torch.device) -> float:
    """A clock for a device: CPU seconds of the process do not grow while others have the core."""
    synchronize(device)
    return time.process_time() if device.type == 'cpu' else time.perf_counter()


class Phases(TorchDispatchMode):
    """Seconds, floating point operations and bytes of each phase of a step.

    ::

        phases = Phases(('forward', 'backward'))
        phases.wrap(model, 'forward', 'forward')
        phases.new_step()
        loss = model(x)             # timed
        with phases('backward'):
            loss.backward()         # timed
        with phases.counting():
            ...                     # once more, counted instead

    Seconds are CPU seconds on a CPU (with one thread: of a core that nobody else uses), else those
    of the wall clock. Bytes are what every operation reads and writes, as if nothing stayed in a
    cache and nothing was fused.

    Args:
        names (Sequence[str]): Of the phases. One within another one counts for itself alone.
        device (str | torch.device): That computes. Defaults to 'cpu'.

    Attributes:
        found (dict[str, dict]): By phase ``seconds`` (list, one of each step), ``flop``, ``bytes``.
    """

    def __init__(self, names: Sequence[str], device: Union[str, torch.device] = 'cpu'):
        super().__init__()
        self.device = torch.device(device)
        self.flops = FlopCounterMode(display=False)
        self.found = {name: dict(seconds=[], flop=0, bytes=0) for name in names}
        self._last: Tuple[float, int] = (0.0, 0)
        self._stack: List[str] = []

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count the operations of one step instead of taking its time, which counting changes."""
        for row in self.found.values():
            row.update(flop=0, bytes=0)
        self.new_step()
        with self.flops, self:
            yield
        for row in self.found.values():
            row['seconds'].pop()

    def new_step(self) -> None:
        """Begin another step, outside of any phase."""
        for row in self.found.values():
            row['seconds'].append(0.0)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if self._stack:
            given, made = (
                [t for t in tree_iter(tree) if isinstance(t, Tensor)]
                for tree in ((args, kwargs), out)
            )
            own = {t.untyped_storage().data_ptr() for t in given}
            is_view = not function._schema.is_mutable and any(
                t.untyped_storage().data_ptr() in own for t in made
            )
            if not is_view:
                moved = sum(t.numel() * t.element_size() for t in (*given, *made))
                self.found[self._stack[-1]]['bytes'] += moved
        return out

    def _now(self) -> Tuple[float, int]:
        return _seconds(self.device), self.flops.get_total_flops()

    def _book(self, since: Tuple[float, int]) -> Tuple[float, int]:
        now = self._now()
        if self._stack:
            row = self.found[self._stack[-1]]
            row['seconds'][-1] += now[0] - since[0]
            row['flop'] += now[1] - since[1]
        return now

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """What runs within belongs to the phase."""
        self._last = self._book(self._last) if self._stack else self._now()
        self._stack.append(phase)
        yield
        self._last = self._book(self._last)
        self._stack.pop()

    def wrap(self, owner, name: str, phase: str) -> None:
        """Let a method of an object be (part of) a phase."""
        method = getattr(owner, name)

        def within(*args, **kwargs):
            with self(phase):
                return method(*args, **kwargs)

        setattr(owner, name, within)


def ceilings(device: Union[str, torch.device] = 'cpu') -> Dict[str, float]:
    """What a device can do, measured: the best of five.

    Multiplications: a matrix product or a 3x3 convolution of 256 channels, whichever is faster (on
    some CPUs the libraries behind them differ by a factor of two). Bytes: a copy.

    Args:
        device (str | torch.device): Defaults to 'cpu'.

    Returns:
        dict[str, float]: FLOP/s for ``'float32'`` (TF32 where convolutions may use it) and
        ``'bfloat16'``, bytes/s for ``'copy'``, in the seconds of :class:`Phases`.
    """
    device = torch.device(device)
    side, images, length = GPU_SIZES if device.type == 'cuda' else CPU_SIZES

    def best(function: Callable[[], Tensor]) -> float:
        function()
        seconds = []
        for _ in range(5):
            start = _seconds(device)
            function()
            seconds.append(_seconds(device) - start)
        return min(seconds)

    found = {}
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # as convolutions
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        maps, weight = (
            torch.randn(shape, device=device).to(dtype, memory_format=torch.channels_last)
            for shape in ((images, 256, 64, 64), (256, 256, 3, 3))
        )
        product = 2 * side**3 / best(lambda a=a, b=b: a @ b)
        operations = 2 * 9 * maps.numel() * len(weight)
        convolution = operations / best(lambda x=maps, w=weight: F.conv2d(x, w, padding=1))
        found[str(dtype).removeprefix('torch.')] = max(product, convolution)
    torch.backends.cuda.matmul.allow_tf32 = allowed
    source, target = (torch.zeros(length, device=device) for _ in range(2))
    found['copy'] = 2 * source.nbytes / best(lambda: target.copy_(source))
    return found
