"""The backward as a walk in Python: PyTorch's own asks the driver which streams a device has."""

import itertools
from typing import Dict, List, Optional, Sequence, Tuple
from unittest import mock

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

_NUMBERS = itertools.count()
Place = Tuple[Node, int]


def run_backward(
    roots: Sequence[Tensor],
    gradients: Sequence[Optional[Tensor]],
    retain_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor],
    allow_unreachable: bool = True,
    accumulate_grad: bool = True,
) -> Tuple[Optional[Tensor], ...]:
    """As ``torch.autograd.graph._engine_run_backward``, on one thread and without hooks."""
    wanted = [_place(tensor) for tensor in inputs]
    arrived: Dict[Node, List[Optional[Tensor]]] = {}
    order = _needed(_place(root)[0] for root in roots) if not wanted else _needed(
        (_place(root)[0] for root in roots), {node for node, _ in wanted}
    )  # fmt: skip
    found: List[Optional[Tensor]] = [None] * len(wanted)
    # Activation checkpoints compute a part again once per backward, by this number.
    number = next(_NUMBERS)
    backward = mock.patch('torch._C._current_graph_task_id', lambda: number)
    with torch.set_grad_enabled(create_graph), backward:
        for root, gradient in zip(roots, gradients, strict=True):
            _add(arrived, _place(root), torch.ones_like(root) if gradient is None else gradient)
        for node in order:
            here = arrived.pop(node, None)
            if here is None:
                continue
            for number, (captured, position) in enumerate(wanted):
                if captured is node:
                    found[number] = here[position]
            if 'AccumulateGrad' in type(node).__name__ and not accumulate_grad:
                continue
            results = node(*here)
            results = results if isinstance(results, tuple) else (results,)
            for place, result in zip(node.next_functions, results, strict=False):
                if place[0] is not None and place[0] in order and result is not None:
                    _add(arrived, place, result)
    if not allow_unreachable and any(value is None for value in found):
        raise RuntimeError('one of the differentiated tensors was not used in the graph')
    return tuple(found)


def _place(tensor: Tensor) -> Place:
    edge = get_gradient_edge(tensor)
    return edge.node, edge.output_nr


def _needed(roots, leading_to: Optional[set] = None) -> Dict[Node, None]:
    """The nodes to run, each after all that feed it; with ``leading_to`` only those before them."""
    seen, last_first = set(), []
    stack = [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        if done:
            last_first.append(node)
        elif node is not None and node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(following, False) for following, _ in node.next_functions]
    if leading_to is not None:
        kept = set()
        for node in last_first:
            if node in leading_to or any(n in kept for n, _ in node.next_functions):
                kept.add(node)
        last_first = [node for node in last_first if node in kept]
    return dict.fromkeys(reversed(last_first))


def _add(arrived: Dict[Node, list], place: Place, gradient: Tensor) -> None:
    """Add a gradient to what has arrived, in the shape, type and place of its tensor."""
    node, position = place
    expected = node._input_metadata
    like = expected[position]
    if gradient.device != like.device:
        raise RuntimeError(
            f'{type(node).__name__}: a gradient on {gradient.device} of a tensor on {like.device}'
        )
    if gradient.shape != like.shape:
        gradient = gradient.sum_to_size(like.shape)
    if gradient.dtype != like.dtype:
        gradient = gradient.to(like.dtype)
    slots = arrived.setdefault(node, [None] * len(expected))
    slots[position] = gradient if slots[position] is None else slots[position] + gradient
