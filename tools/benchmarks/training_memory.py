"""Parameters of a GAN, and the memory of one training step, from its config.

Counts what a step keeps for its backward, in the discriminator's and in the generator's turn. This
works on any machine with any batch size, because it grows in proportion to the batch. On a GPU the
tool also shows CUDA's peak::

    python tools/benchmarks/training_memory.py configs/cellgan_tct.py configs/biggan/biggan_tct.py
    python tools/benchmarks/training_memory.py configs/biggan/biggan_tct.py --batch-size 64 --amp

It does not count the workspace of convolutions and the temporary tensors of a backward; on a GPU
allow a quarter more.

For a model with scales (the pyramid GAN) it finds the peak number of bytes of every scale, in one
step with all terms on, including weights, optimizers and the tensors of the backward. The tensors
have no content (the meta device), so 1024 px take seconds on any machine. Scales of up to
``--measure-up-to`` pixels are also run: the tool then shows the same count for the run, and CUDA's
peak or the growth of the process (with the weights)::

    python tools/benchmarks/training_memory.py configs/pyramid_gan/pyramid_prostate.py
"""

import logging
import resource
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Sequence

import torch
from mmagic.registry import MODELS
from mmengine import MessageHub
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.engine.live_memory import LivePeak
from cellgan_plugin.models.model_checks import generated_shape
from cellgan_plugin.randomness import generator_for
from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.runs.train import load_config

GIB = 2**30


class SavedBytes:
    """Bytes that autograd keeps for the backward, weights apart; each storage counts once."""

    def __init__(self, model: nn.Module):
        self._own = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}
        self._seen: Dict[int, int] = {}

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """Called by autograd for every tensor it saves."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self._seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    def take(self) -> int:
        """What was saved since the last call."""
        total, self._seen = sum(self._seen.values()), {}
        return total


def count(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def measure(config: Config, batch_size: int, amp: bool) -> Dict[str, float]:
    """Take one training step on noise.

    Args:
        config (Config): Of a GAN with optimizers ``generator`` and ``discriminator``.
        batch_size (int): Images in the step that is measured.
        amp (bool): Mixed precision.

    Returns:
        dict[str, float]: Millions of parameters, GiB saved per image in either turn, GiB for
        weights, gradients, optimizer and EMA, and the peak that CUDA saw (0 without it).
    """
    # After the plugin, whose repairs MMagic needs beside new packages.
    from mmagic.structures import DataSample

    device = get_device()
    model = MODELS.build(config.model).to(device)
    model.init_weights()
    model.train()
    if amp:
        enable_amp(config.optim_wrapper)
    wrappers = build_optim_wrapper(model, config.optim_wrapper)
    shape = (batch_size, *generated_shape(model))
    numbers = generator_for(0, 'training_memory')
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers)
    labels = [DataSample().set_gt_label(i % model.num_classes) for i in range(batch_size)]
    saved, turns = SavedBytes(model), {}
    for name in ('discriminator', 'generator'):

        def update(loss, name=name, inner=wrappers[name].update_params):
            turns[name] = saved.take()
            inner(loss)

        wrappers[name].update_params = update
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    # An iteration in which the generator has its turn, as a Runner would say it.
    accumulated = wrappers['discriminator']._accumulative_counts
    iteration = model.discriminator_steps * accumulated - 1
    MessageHub.get_current_instance().update_info('iter', iteration)
    with torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda kept: kept):
        model.train_step(dict(inputs=dict(img=images), data_samples=labels), wrappers)
    networks = count(model.generator) + count(model.discriminator)
    ema = count(model.generator) if model.with_ema_gen else 0
    return dict(
        generator=count(model.generator) / 1e6,
        discriminator=count(model.discriminator) / 1e6,
        per_image_disc=turns['discriminator'] / batch_size / GIB,
        per_image_gen=turns['generator'] / batch_size / GIB,
        weights=(4 * networks + ema) * 4 / GIB,  # weight, gradient, two moments; float32
        cuda_peak=torch.cuda.max_memory_allocated() / GIB if device == 'cuda' else 0.0,
    )


class ScalePeak(NamedTuple):
    """The most memory of a training step, GiB.

    Attributes:
        counted (float): Of all tensors that lived at once.
        seen (float): What CUDA, or on a CPU the operating system, saw.
    """

    counted: float
    seen: float


def _resident() -> int:
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()


def peak_of_scale(config: Config, index: int, checkpoint: bool, device: str) -> ScalePeak:
    """The most memory that a training step of one scale takes.

    Args:
        config (Config): Of a model with ``scales``.
        index (int): The scale.
        checkpoint (bool): Recompute activations in the backward.
        device (str): 'meta': nothing is computed.

    Returns:
        ScalePeak: On the meta device nothing is seen.
    """
    model_config = config.model.copy()
    model_config.scales = [dict(scale, checkpoint=checkpoint) for scale in model_config.scales]
    # Which images become positives of D depends on drawn numbers; it changes nothing here.
    model_config.pseudo_probability = 0.0
    model = MODELS.build(model_config).to(device)
    model.enter_scale(index)
    model.scale_epoch = float('inf')
    model.train()
    batch, tile = model.scales[index].batch_size, model.tile_size
    labelled = model.scales[index].labelled_size if model.semi_supervised else batch
    inputs = dict(
        img=torch.zeros(batch, 3, tile, tile, dtype=torch.uint8, device=device),
        mask=torch.zeros(batch, tile, tile, dtype=torch.uint8, device=device),
        labelled=torch.arange(batch) < labelled,
    )
    wrappers = build_optim_wrapper(model, config.optim_wrapper)
    step = dict(inputs=inputs, data_samples=None)
    before, seen = _resident(), 0.0
    model.train_step(step, wrappers)  # from the second step on there are the optimizers' moments
    if device == 'cpu':
        own = sum(value.nbytes for value in model.state_dict().values())
        seen = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before + own
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    with LivePeak(model) as live:
        for wrapper in wrappers.values():
            for state in wrapper.optimizer.state.values():
                for value in state.values():
                    live.count(value)
        for name in ('img', 'mask'):
            live.count(inputs[name])
        model.train_step(step, wrappers)
    if device == 'cuda':
        seen = torch.cuda.max_memory_allocated()
    return ScalePeak(live.peak / GIB, seen / GIB)


def scale_rows(path: str, measure_up_to: int) -> Iterator[str]:
    """Table rows of a model with scales.

    Args:
        path (str): Config.
        measure_up_to (int): Scales of at most so many pixels are also computed for real.
    """
    for index, scale in enumerate(load_config(path).model.scales):
        plain, recomputed = (
            peak_of_scale(load_config(path), index, checkpoint, 'meta').counted
            for checkpoint in (False, True)
        )
        measured = '-'
        if scale.size <= measure_up_to:
            chosen = bool(scale.get('checkpoint', False))
            found = peak_of_scale(load_config(path), index, chosen, get_device())
            measured = f'{found.counted:.2f}, {found.seen:.2f} ({get_device()})'
        recompute = 'yes' if scale.get('checkpoint', False) else 'no'
        yield (
            f'| {Path(path).stem} | {scale.size} | {scale.batch_size} | {plain:.2f} '
            f'| {recomputed:.2f} | {recompute} | {measured} |'
        )


def print_scales(path: str, measure_up_to: int) -> None:
    """Print the table of a model with scales."""
    model = MODELS.build(load_config(path).model)
    kinds = {name: count(network) / 1e6 for name, network in model.trained_networks().items()}
    print(', '.join(f'{name} {number:.2f} M' for name, number in kinds.items()), 'per scale')
    print(
        '| Config | px | Batch | GiB, all kept | GiB, recomputed | Config recomputes '
        '| For real: counted, seen |'
    )
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for row in scale_rows(path, measure_up_to):
        print(row, flush=True)


def print_gans(paths: Sequence[str], batch_size: int, amp: bool) -> None:
    """Print the table of GANs, one row per config."""
    print(
        '| Config | G, M | D, M | MiB kept per image, D / G turn | GiB at batch | CUDA peak, GiB |'
    )
    print('| --- | --- | --- | --- | --- | --- |')
    for path in paths:
        config = load_config(path)
        found = measure(config, batch_size, amp)
        batch = config.train_dataloader.batch_size
        largest = max(found['per_image_disc'], found['per_image_gen'])
        peak = f'{found["cuda_peak"]:.1f} at {batch_size}' if found['cuda_peak'] else '-'
        print(
            f'| {Path(path).stem} | {found["generator"]:.2f} | {found["discriminator"]:.2f} '
            f'| {found["per_image_disc"] * 1024:.0f} / {found["per_image_gen"] * 1024:.0f} '
            f'| {largest * batch + found["weights"]:.1f} at {batch} | {peak} |'
        )


def main() -> None:
    """Print one table row per config, or per scale of a model with scales."""
    parser = ToolParser(__doc__)
    parser.add_argument('configs', nargs='+')
    parser.add_argument(
        '--batch-size', type=int, default=4, help='batch size of the step (default: 4)'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument(
        '--measure-up-to',
        type=int,
        default=64,
        metavar='PX',
        help='also run the scales of a pyramid up to this size, px (default: 64)',
    )
    args = parser.parse_args()
    init_default_scope('mmagic')
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # not a line per weight
    with user_errors():
        scaled = [path for path in args.configs if 'scales' in load_config(path).model]
        for path in scaled:
            print_scales(path, args.measure_up_to)
        others = [path for path in args.configs if path not in scaled]
        if others:
            print_gans(others, args.batch_size, args.amp)


if __name__ == '__main__':
    main()
