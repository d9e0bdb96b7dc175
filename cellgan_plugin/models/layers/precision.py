"""Precision of what must not be computed in half."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision is raised to float32; float64 is left as it is."""
    return x if x.dtype == torch.float64 else x.float()
