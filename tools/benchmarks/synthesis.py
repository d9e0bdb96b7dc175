"""Time the synthesiser against a plain loop, in one run.

The reference makes one image at a time. It uses the literal generator of the paper (CellGAN's in
``plain_training_step.py``; others as in the checkpoint), computes spectral norm at every forward,
in float32, with all threads on that image, and writes PNG with Pillow in the same loop::

    python tools/benchmarks/synthesis.py --threads 2 --json synthesis.json --plot synthesis.png
    python tools/benchmarks/synthesis.py --config configs/cellgan_phantom.py --images 200
    python tools/benchmarks/synthesis.py --precision fp32 --batch-size 32       # on a GPU

Weights are random unless ``--checkpoint`` is given; the time does not depend on them.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import torch
from mmagic.registry import MODELS
from mmengine.registry import init_default_scope
from PIL import Image
from plain_training_step import generate
from timing import (
    TimingReport,
    check_timing_arguments,
    describe_machine,
    publish,
    race,
    timing_parser,
)
from torch import nn

from cellgan_plugin.datasets.image_encoding import encode_image
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.models.cellgan import CellGANGenerator
from cellgan_plugin.models.fusing import fuse_for_sampling
from cellgan_plugin.models.sampling import sample_pixels
from cellgan_plugin.runs.command_line import add_key_values, user_errors
from cellgan_plugin.runs.image_sampler import GPU_BATCH_SIZE, PRECISIONS, ImageSampler, sample_many
from cellgan_plugin.runs.sampling import synthesis_noise
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.runs.trained_model import load_model
from cellgan_plugin.synthesis.folder import SynthesisFolder

LabelAndSeed = Tuple[int, int]
PLAIN, OURS = 'one at a time', 'synthesiser'


def build(args: argparse.Namespace) -> nn.Module:
    """A model on its device."""
    config = load_config(args.config, options=args.cfg_options)
    device = torch.device(args.device)
    if args.checkpoint:
        model = load_model(config, args.checkpoint, device).model
    else:
        init_default_scope('mmagic')
        torch.manual_seed(0)
        model = MODELS.build(config.model).to(device).eval()
    return model


def literal(model: nn.Module) -> nn.Module:
    """Let the generators of CellGAN compute block by block, in PyTorch's default memory order."""
    for net in model.modules():
        if isinstance(net, CellGANGenerator):
            net.synthesis = lambda z, weights, net=net: generate(net, z, weights.argmax(dim=1))
    return model.to(memory_format=torch.contiguous_format)


def reference(model: nn.Module, rows: List[LabelAndSeed], folder: Path) -> None:
    """One image at a time."""
    for label, seed in rows:
        noise = synthesis_noise(model.noise_size, [(label, seed)])
        pixels = sample_pixels(model, noise, torch.tensor([label]))
        array = pixels[0].permute(1, 2, 0).cpu().numpy()
        Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0]).save(
            folder / f'{label}_{seed}.png'
        )


def synthesiser(
    model: nn.Module, sampler: ImageSampler, rows: List[LabelAndSeed], folder: Path
) -> None:
    """What ``tools/synthesize.py`` does once the model is loaded."""
    target = SynthesisFolder(folder)

    def inputs_of(batch: List[LabelAndSeed]) -> Tuple[torch.Tensor, torch.Tensor]:
        noise = synthesis_noise(model.noise_size, batch)
        return noise, torch.tensor([label for label, _ in batch])

    sample_many(
        sampler,
        rows,
        inputs_of,
        lambda row, image: target.write_image(str(row[0]), row[1], 'png', image),
    )


def greatest_difference(rows: List[LabelAndSeed], ours: Path, theirs: Path) -> Tuple[int, float]:
    """Grey levels by which pixels differ at most, and the share of values that differ at all."""
    worst, differing, values = 0, 0, 0
    for label, seed in rows:
        a = load_image(str(ours / f'{label}' / f'{label}_{seed:06d}.png')).astype(int)
        b = load_image(str(theirs / f'{label}_{seed}.png')).astype(int)
        worst = max(worst, int(np.abs(a - b).max()))
        differing += int((a != b).sum())
        values += a.size
    return worst, differing / values


def parts(model: nn.Module, sampler: ImageSampler, repeats: int) -> Dict[str, float]:
    """Milliseconds of one core per image: network (one call, per image) and encoding."""
    noise = synthesis_noise(model.noise_size, [(0, s) for s in range(sampler.images_per_call)])
    labels = torch.zeros(len(noise), dtype=torch.long)
    found: Dict[str, List[float]] = {'network_ms': [], 'png_ms': []}
    with sampler.session(), sampler.worker():
        image = sampler(noise, labels)[0]
        for _ in range(repeats):
            start = time.perf_counter()
            image = sampler(noise, labels)[0]
            found['network_ms'].append((time.perf_counter() - start) * 1e3 / len(noise))
            start = time.perf_counter()
            encode_image(image, 'png')
            found['png_ms'].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def run(args: argparse.Namespace) -> TimingReport:
    """Race both over the same rows, each into a folder of its own."""
    if hasattr(os, 'sched_setaffinity'):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: args.threads])
    model = build(args)
    sampler = ImageSampler(fuse_for_sampling(model), None, None, args.batch_size, args.precision)
    labels = range(model.num_classes)
    rows = [(label, seed) for seed in range(args.images) for label in labels][: args.images]
    notes = []
    with tempfile.TemporaryDirectory() as temporary:
        ours, theirs = Path(temporary, 'ours'), Path(temporary, 'theirs')
        theirs.mkdir()
        contestants = {OURS: lambda some=rows: synthesiser(model, sampler, some, ours)}
        if args.reference:
            plain = literal(build(args))
            one_by_one = lambda some=rows: reference(plain, some, theirs)  # noqa: E731
            contestants = {PLAIN: one_by_one, **contestants}
        for function in contestants.values():  # kernels are chosen outside the measurement
            function(rows[: 2 * args.threads])
        with sampler.session(), sampler.worker():
            first = sampler(synthesis_noise(model.noise_size, [(0, 0)]), torch.tensor([0]))[0]
        found = race(
            contestants,
            args.turns,
            PLAIN if args.reference else None,
            f'synthesis, {Path(args.config).stem}, {first.shape[0]} px',
            args.images,
            'images',
            args.device,
            warm_up=0,
        )
        if args.reference:
            worst, share = greatest_difference(rows, ours, theirs)
            notes.append(
                f'images differ by {worst} grey levels at most, in {100 * share:.3g} % of the '
                'values'
            )
    spent = parts(model, sampler, 5)
    notes.append(
        f'one worker: network {spent["network_ms"]:.1f} ms per image, PNG {spent["png_ms"]:.1f} ms'
    )
    asked = dict(
        config=args.config,
        image_shape=list(first.shape),
        images=args.images,
        images_per_call=sampler.images_per_call,
        precision=sampler.precision,
    )
    machine = describe_machine(args.device, args.threads)
    return TimingReport('synthesis', [found], asked, machine, notes, extra=spent)


def main() -> None:
    """Parse arguments, race, publish what was found."""
    parser = timing_parser(__doc__)
    parser.add_argument(
        '--config', default='configs/cellgan_tct.py', help='config (default: %(default)s)'
    )
    parser.add_argument('--checkpoint')
    add_key_values(parser, '--cfg-options')
    parser.add_argument(
        '--images', type=int, default=20, help='number per turn (default: %(default)s)'
    )
    parser.add_argument(
        '--batch-size', type=int, default=GPU_BATCH_SIZE, help='batch size on a GPU'
    )
    parser.add_argument('--precision', default='auto', choices=['auto', *PRECISIONS])
    args = parser.parse_args()
    if args.images < 1:
        parser.error('--images must be positive')
    check_timing_arguments(parser, args)
    publish(run(args), args)


if __name__ == '__main__':
    with user_errors():
        main()
