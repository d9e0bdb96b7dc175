"""A CUDA device that is none: tensors on it have shape, type and device, but no values.

Host tensors are real and compute as ever; those on ``cuda`` are fake (``FakeTensorMode``), so a
whole training step runs without a card and raises where a host tensor meets one on the device. What
would make the host wait for the device is noted in :attr:`FakeCuda.waits`.
"""

import contextlib
import traceback
from pathlib import Path
from typing import Any, Iterator, List, Set
from unittest import mock

import torch
from mmengine.model import BaseAveragedModel
from python_backward import run_backward
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

PACKAGE = Path(__file__).resolve().parents[2] / 'cellgan_plugin'
aten = torch.ops.aten
# Their results depend on values on the device: the host has to wait for these.
_WAITING = {
    aten._local_scalar_dense.default: 'a value is read',
    aten.equal.default: 'a value is read',
    aten.nonzero.default: 'the size of the result is read',
    aten.masked_select.default: 'the size of the result is read',
    aten.bincount.default: 'the size of the result is read',
    aten._unique2.default: 'the size of the result is read',
    aten.repeat_interleave.Tensor: 'the size of the result is read',
}
_INDEXING = (
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default,
)  # fmt: skip


def on_device(*values: Any) -> bool:
    """Whether any tensor in nested containers is a fake one on ``cuda``."""
    tensors = [t for t in tree_flatten(values)[0] if isinstance(t, Tensor)]
    return any(isinstance(t, FakeTensor) for t in tensors)


class FakeCuda(TorchDispatchMode):
    """Within it ``cuda`` is a device.

    Attributes:
        waits (list[str]): What made the host wait, with the place in the package.
        convolutions (set[torch.dtype]): Of the maps that were convolved.
        value (int): What tensors on the device are read as. Defaults to 1.
        now (int): Advanced by the test; an event is over ``behind`` later than it was recorded.
        behind (int): Defaults to 0.
    """

    def __init__(self):
        super().__init__()
        self.mode = FakeTensorMode()
        self.waits: List[str] = []
        self.convolutions: Set[torch.dtype] = set()
        self.value, self.now, self.behind = 1, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        device = kwargs.get('device')
        to_device = device is not None and torch.device(device).type == 'cuda'
        from_device = on_device(args, kwargs)
        if not to_device and not from_device:
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func is aten.convolution.default:
            self.convolutions.add(args[0].dtype)
        answer = self._note(func, args, kwargs, from_device)
        if answer is not None:
            return answer
        # Host tensors join as fake ones of the host: FakeTensorMode tells whether they may.
        args, kwargs = tree_map_only(Tensor, self.fake, (args, kwargs))
        return func(*args, **kwargs)

    def move(self, model: nn.Module) -> nn.Module:
        """``model.to('cuda')``; on a device of the driver's, weights stay the same objects."""
        model.to('cuda')
        for module in model.modules():
            if isinstance(module, BaseAveragedModel) and not module.update_buffers:
                module.avg_parameters = dict(module.module.named_parameters())
        return model

    def fake(self, tensor: Tensor) -> Tensor:
        """The fake twin of a host tensor, on the host; a fake one is left as it is."""
        return tensor if isinstance(tensor, FakeTensor) else self.mode.from_tensor(tensor)

    def _note(self, func, args, kwargs, from_device: bool) -> Any:
        """Note what makes the host wait; the value where one is read."""
        if func in (aten._to_copy.default, aten.copy_.default):
            source = args[-1] if func is aten._to_copy.default else args[1]
            target = kwargs.get('device') if func is aten._to_copy.default else args[0].device
            target = source.device if target is None else torch.device(target)
            blocking = not (args[2] if len(args) > 2 else kwargs.get('non_blocking', False))
            if target.type == 'cuda' and source.device.type != 'cuda' and blocking:
                self._wait('copied to the device')
            if target.type != 'cuda' and source.device.type == 'cuda':
                if blocking:
                    self._wait('copied to the host')
                return self._read(source, kwargs) if func is aten._to_copy.default else args[0]
            return None
        if func in _INDEXING:
            if any(isinstance(i, FakeTensor) and i.dtype in (torch.bool, torch.uint8)
                   for i in args[1] if i is not None):  # fmt: skip
                self._wait('indexed by a mask')
        if func in _WAITING and from_device:
            self._wait(_WAITING[func])
            if func is aten._local_scalar_dense.default:
                with unset_fake_temporarily():
                    return self._read(args[0], {}).item()
            if func is aten.equal.default:
                return True
        return None

    def _read(self, tensor: Tensor, options: dict) -> Tensor:
        """What a tensor on the device is read as, since it has no values."""
        # MMagic asks whether any label is invalid.
        refused = any(frame.name == 'label_sample_fn' for frame in traceback.extract_stack())
        with unset_fake_temporarily():
            kind = options.get('dtype') or tensor.dtype
            return torch.full(tensor.shape, 0 if refused else self.value, dtype=kind)

    def _wait(self, why: str) -> None:
        where = ''
        for frame in traceback.extract_stack():
            path = Path(frame.filename)
            if path.is_relative_to(PACKAGE):
                where = f'{path.relative_to(PACKAGE)}, {frame.name}: '
            elif 'mmagic' in path.parts:
                where = f'mmagic, {frame.name}: '
        self.waits.append(where + why)


class _Event:
    """``torch.cuda.Event``."""

    def __init__(self, cuda: FakeCuda):
        self.cuda = cuda

    def record(self) -> None:
        self.over = self.cuda.now + self.cuda.behind

    def query(self) -> bool:
        return self.cuda.now >= self.over

    def synchronize(self) -> None:
        self.cuda._wait('waited for an event')


def _take_over(old: Tensor, new: Tensor) -> None:
    old.data = new


@contextlib.contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """A machine with a CUDA device, for MMEngine and autocast as well."""
    cuda = FakeCuda()
    patches = [
        mock.patch('mmengine.device.get_device', lambda: 'cuda'),
        mock.patch('mmengine.runner.amp.get_device', lambda: 'cuda'),
        mock.patch('cellgan_plugin.engine.amp.get_device', lambda: 'cuda'),
        mock.patch('torch.cuda.is_bf16_supported', lambda *_, **__: True),
        mock.patch('torch.cuda.amp.common.amp_definitely_not_available', lambda: False),
        mock.patch('torch.cuda.current_device', lambda: 0),
        mock.patch('torch.cuda.Event', lambda: _Event(cuda)),
        mock.patch('torch.autograd._engine_run_backward', run_backward),
        # Fake tensors cannot be swapped, which a change of the memory order asks of subclasses.
        mock.patch('torch.utils.swap_tensors', _take_over),
        # Page-locked memory is the driver's.
        mock.patch.object(torch.Tensor, 'pin_memory', lambda tensor, *_: tensor),
    ]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.enter_context(cuda.mode)
        stack.enter_context(cuda)
        yield cuda
