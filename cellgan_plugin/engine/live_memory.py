"""How much memory tensors hold at once, on any device, the meta device included."""

import weakref
from typing import Any, Dict

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only


class LivePeak(TorchDispatchMode):
    """Counts the bytes of all tensors that live, and the most that lived at once.

    Within ``with LivePeak(model) as live:`` every operation is seen, those of a backward and of
    recomputed activations included. On the meta device nothing is computed: the peak of a training
    step on images far too large for this machine is found in seconds. Not seen: workspace inside
    single operations (convolution algorithms) and what an allocator loses between blocks.

    Args:
        *modules (nn.Module): What is there already: their weights, buffers and gradients count
            from the start.

    Attributes:
        now (int): Bytes that live.
        peak (int): The most so far.
    """

    def __init__(self, *modules: nn.Module):
        super().__init__()
        self.now = self.peak = 0
        self._sizes: Dict[int, int] = {}
        for module in modules:
            for value in [*module.parameters(), *module.buffers()]:
                self.count(value)
                if value.grad is not None:
                    self.count(value.grad)

    def count(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add a tensor's storage, unless it is known, until it dies."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += self._sizes[key]
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)
        return tensor

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> Any:
        """Run the operation and count what it made."""
        return tree_map_only(torch.Tensor, self.count, func(*args, **(kwargs or {})))
