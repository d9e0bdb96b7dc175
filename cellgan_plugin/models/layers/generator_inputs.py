"""What generators are called with: MMagic's convention, and class weights to mix classes."""

from typing import Callable, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmagic.models.utils import label_sample_fn, noise_sample_fn
from torch import Tensor, nn


def are_class_weights(label: object) -> bool:
    """Whether labels are weights of classes, float (N, num_classes), and no class indices."""
    return isinstance(label, Tensor) and label.is_floating_point() and label.ndim == 2


def class_weights(label: Tensor, num_classes: int) -> Tensor:
    """One-hot float (N, num_classes) of labels (N,) or (N, 1); class weights stay as they are."""
    if are_class_weights(label):
        return label
    return F.one_hot(label.reshape(-1).long(), num_classes).to(torch.float32)


def noise_and_label(
    generator: nn.Module,
    noise: Optional[Union[Tensor, Callable]],
    label: Optional[Union[Tensor, Callable]],
    num_batches: int,
) -> Tuple[Tensor, Tensor]:
    """Z and labels of a call, drawn where they are not given.

    Args:
        generator (nn.Module): With ``noise_size`` and ``num_classes``.
        noise (Tensor | callable, optional): z, (N, noise_size).
        label (Tensor | callable, optional): Class indices (N,) or (N, 1), or class weights
            (N, num_classes).
        num_batches (int): N, where ``noise`` is not a tensor.

    Returns:
        tuple[Tensor, Tensor]: z (N, noise_size), and class indices (N,) or class weights.

    Raises:
        ValueError: There are not as many of both.
    """
    device = next(generator.parameters()).device
    noise = noise_sample_fn(
        noise, num_batches=num_batches, noise_size=generator.noise_size, device=device
    )
    if not are_class_weights(label):
        label = label_sample_fn(
            label.reshape(-1) if isinstance(label, Tensor) else label,
            num_batches=len(noise),
            num_classes=generator.num_classes,
            device=device,
        )
    if len(label) != len(noise):
        raise ValueError(f'{len(noise)} noise vectors but {len(label)} labels')
    return noise, label
