"""Time CellGAN's training step against a literal step of the paper, and time its phases.

The reference is ``plain_training_step.py``: eager float32, every block as in the paper. Both start
from the same weights, see the same images and random numbers, and run in turns::

    OMP_NUM_THREADS=1 python tools/benchmarks/train_step.py --threads 1 --plot train_step.png
    python tools/benchmarks/train_step.py --batch-size 64 --compile             # on a GPU
    python tools/benchmarks/train_step.py --rewrites     # the gain of each rewrite
    python tools/benchmarks/train_step.py --phases       # time per phase, and the machine's peak

Peak memory is that of one step minus what stays between steps (weights, optimizers, average):
CUDA's own count, or the resident set of the process on Linux. ``--phases`` counts the
multiplications and the bytes that each phase's operations read and write (unfused), divides them by
the seconds, and compares with large products, convolutions and copies on this machine.
"""

import argparse
import logging
from pathlib import Path
from typing import Callable, Dict, Union
from unittest import mock

import torch
from mmagic.registry import MODELS
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import init_default_scope
from plain_training_step import training_step
from timing import (
    Phases,
    TimingReport,
    ceilings,
    check_timing_arguments,
    describe_machine,
    peak_memory,
    publish,
    race,
    timing_parser,
)
from undone_rewrites import contiguous, plain_adam, rewrites

from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.models.cellgan import CellGAN
from cellgan_plugin.models.data_preprocessor import to_model_range
from cellgan_plugin.randomness import StepRandom, generator_for
from cellgan_plugin.runs.command_line import add_key_values, user_errors
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.visualization.tables import aligned

LITERAL, AS_IT_IS = 'as the paper reads', 'as it is'
PHASES = ('data', 'D', 'R1', 'G', 'optimizers', 'EMA')


class OurStep:
    """The model's own training step on one batch of noise images.

    Args:
        args (argparse.Namespace): ``config``, ``cfg_options``, ``batch_size``, ``device``.
        amp (bool): bfloat16 autocast where the device has it.
        compiled (bool | dict): See ``compile`` of the model.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        amp: bool = False,
        compiled: Union[bool, dict] = False,
    ):
        config = load_config(args.config, options=args.cfg_options)
        if compiled:
            config.model.compile = compiled
        self.device = torch.device(args.device)
        torch.manual_seed(0)
        self.model: CellGAN = MODELS.build(config.model).to(self.device).train()
        self.model.ema_start = 0  # the average takes part from the first step
        if amp:
            enable_amp(config.optim_wrapper)
        self.optimizers: OptimWrapperDict = build_optim_wrapper(self.model, config.optim_wrapper)
        net = self.model.discriminator
        shape = (args.batch_size, net.in_channels, net.in_size, net.in_size)
        draws = generator_for(0, 'train_step')
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draws)
        self.labels = torch.arange(args.batch_size) % self.model.num_classes

    def __call__(self) -> None:
        """Take a step."""
        # After the plugin, whose repairs MMagic needs beside new packages.
        from mmagic.structures import DataSample

        samples = []
        for label in self.labels:
            samples.append(DataSample())
            samples[-1].set_gt_label(int(label))
        data = dict(inputs=dict(img=self.images), data_samples=samples)
        self.model.train_step(data, self.optimizers)


class LiteralStep(OurStep):
    """The plain step from the same weights, with the same batch and random numbers."""

    def __init__(self, args: argparse.Namespace):
        super().__init__(args)
        self._refuse_what_the_plain_step_is_not()
        self.model.to(memory_format=torch.contiguous_format)
        self.plain_optimizers = {}
        for name in ('generator', 'discriminator'):
            wrapper = self.optimizers[name].optimizer
            group = {k: wrapper.defaults[k] for k in ('lr', 'betas', 'eps', 'weight_decay')}
            self.plain_optimizers[name] = torch.optim.Adam(
                getattr(self.model, name).parameters(), foreach=False, **group
            )
        self.iteration = 0

    def _refuse_what_the_plain_step_is_not(self) -> None:
        # It would time another network in silence.
        model = self.model
        generator, discriminator = model.generator, model.discriminator
        expected = {
            'generator.skip_type': (generator.skip_type, 'sgc'),
            'generator.mapping_depth above 0': (generator.mapping.nonlinear, True),
            'discriminator.head': (discriminator.head, 'patch'),
            'reconstruction_loss': (bool(model.reconstruction_loss), True),
            'r1_loss': (bool(model.r1_loss), True),
            'fake_labels': (model.fake_labels, 'data'),
        }
        for name, (found, needed) in expected.items():
            if not isinstance(found, type(needed)) or found != needed:
                raise SystemExit(
                    f'train_step: the plain step is written for {name}={needed!r}, and the config '
                    f'has {found!r}: time it with --no-reference'
                )

    def __call__(self) -> None:
        """Take a step."""
        model, count = self.model, len(self.images)
        random = StepRandom(0, self.iteration, device=self.device)
        self.iteration += 1
        numbers = dict(crop=random.integers('crop', 9, 2))
        for name in ('noise_disc', 'noise_gen'):
            numbers[name] = random.normal(name, count, model.noise_size)
        for name in ('augment_real', 'augment_fake', 'augment_gen'):
            numbers[name] = random.uniform(name, count, model.augment.num_numbers)
        real = to_model_range(self.images.to(self.device))
        labels = self.labels.to(self.device)
        average = model.generator_ema
        training_step(
            model,
            average.module,
            average.momentum,
            self.plain_optimizers,
            real,
            labels,
            numbers,
        )


def measure_rewrites(args: argparse.Namespace, amp: bool) -> TimingReport:
    """Undo one rewrite after the other in the step as it is."""
    step = OurStep(args, amp)
    contestants: Dict[str, Callable[[], None]] = {AS_IT_IS: step}

    def undone(owner, name, value):
        def call():
            with mock.patch.object(owner, name, value):
                step()

        return call

    for what, where in rewrites(step.model).items():
        contestants[what] = undone(*where)
    others = [OurStep(args, amp) for _ in range(2)]
    contiguous(others[0].model), plain_adam(others[1].optimizers)
    contestants['default memory order'], contestants['Adam weight by weight'] = others
    title = f'{precision_name(amp)}, one rewrite undone'
    found = race(contestants, args.turns, AS_IT_IS, title, args.batch_size, 'images', args.device)
    peaks = {name: peak_memory(function, args.device) for name, function in contestants.items()}
    rows = [['Instead', 'x as long', 'x CPU seconds', 'x memory']]
    for name in list(contestants)[1:]:
        times = [1 / found.ratio(name, kind).median for kind in ('wall', 'cpu')]
        memory = peaks[name] / peaks[AS_IT_IS] if peaks[name] else float('nan')
        rows.append([name, *(f'{number:.2f}' for number in (*times, memory))])
    return report(args, [found], aligned(rows), dict(peak_bytes=peaks))


def precision_name(amp: bool) -> str:
    """Of the step's forward."""
    return 'bfloat16' if amp else 'float32'


def compare(args: argparse.Namespace) -> TimingReport:
    """Race the literal step and ours in float32 and bfloat16."""
    contestants: Dict[str, OurStep] = {}
    if args.reference:
        contestants[LITERAL] = LiteralStep(args)
    for amp in (False, True):
        if precision_name(amp) in args.precisions:
            contestants[precision_name(amp)] = OurStep(args, amp)
            if args.compile:
                contestants[f'{precision_name(amp)}, compiled'] = OurStep(args, amp, True)
    found = race(
        contestants,
        args.turns,
        LITERAL if args.reference else None,
        f'training step, {Path(args.config).stem}, batch {args.batch_size}',
        args.batch_size,
        'images',
        args.device,
    )
    peaks = {name: peak_memory(step, args.device) for name, step in contestants.items()}
    notes = []
    if all(peaks.values()):
        rows = [['Peak memory of a step', 'MiB', 'x reference']]
        for name, peak in peaks.items():
            ratio = f'{peak / peaks[LITERAL]:.2f}' if args.reference else '-'
            rows.append([name, f'{peak / 2**20:.0f}', ratio])
        notes = aligned(rows)
    return report(args, [found], notes, dict(peak_bytes=peaks))


def watched(step: OurStep) -> Phases:
    """Put the parts of our step under a watch."""
    phases, model = Phases(PHASES, step.device), step.model
    phases.wrap(model.data_preprocessor, 'forward', 'data')
    phases.wrap(model, 'train_discriminator', 'D')
    phases.wrap(model, 'train_generator', 'G')
    penalty = model.r1_loss.forward

    def with_backward(*args):
        # In the step R1's backward is part of that of the whole loss; the sums are the same.
        loss = penalty(*args)
        with torch.autocast(step.device.type, enabled=False):
            loss.backward(retain_graph=True)
        return loss.detach()

    model.r1_loss.forward = with_backward
    phases.wrap(model.r1_loss, 'forward', 'R1')
    for wrapper in step.optimizers.values():
        for name in ('step', 'zero_grad'):
            phases.wrap(wrapper, name, 'optimizers')
    for name in ('update_parameters', 'sync_buffers'):
        phases.wrap(model.generator_ema, name, 'EMA')
    return phases


def measure_phases(args: argparse.Namespace, amp: bool) -> TimingReport:
    """Where the time of our step goes, beside what the machine can do."""
    step = OurStep(args, amp)
    name = f'{precision_name(amp)} step, {Path(args.config).stem}'
    whole = race({AS_IT_IS: step}, args.turns, None, name, args.batch_size, 'images', args.device)
    phases = watched(step)
    for _ in range(args.turns):
        phases.new_step()
        step()
    with phases.counting():
        step()
    limits = ceilings(step.device)
    rows = [['Phase', 'ms', '%', 'GFLOP', 'GFLOP/s', '% of peak', 'MB', 'GB/s', '% of copy']]
    rows[0].append('% of roofline')
    medians = {n: sorted(r['seconds'])[len(r['seconds']) // 2] for n, r in phases.found.items()}
    total = sum(medians.values())
    bound = 0.0
    for name, row in phases.found.items():
        seconds, half = medians[name], amp and name in ('D', 'G')
        peak = limits['bfloat16' if half else 'float32']
        least = max(row['flop'] / peak, row['bytes'] / limits['copy'])
        bound += least
        speed, flow = row['flop'] / seconds, row['bytes'] / seconds
        rows.append(
            [
                name,
                f'{seconds * 1e3:.1f}',
                f'{100 * seconds / total:.1f}',
                f'{row["flop"] / 1e9:.1f}',
                f'{speed / 1e9:.0f}',
                f'{100 * speed / peak:.0f}',
                f'{row["bytes"] / 1e6:.0f}',
                f'{flow / 1e9:.1f}',
                f'{100 * flow / limits["copy"]:.0f}',
                f'{100 * least / seconds:.0f}',
            ]
        )
    rows.append(['step', f'{total * 1e3:.1f}', '100', *[''] * 6, f'{100 * bound / total:.0f}'])
    notes = [
        *aligned(rows),
        '',
        f'{precision_name(amp)}, batch {args.batch_size}. Peak, measured here: '
        f'{limits["float32"] / 1e9:.0f} GFLOP/s in float32, {limits["bfloat16"] / 1e9:.0f} in '
        f'bfloat16; copy {limits["copy"] / 1e9:.1f} GB/s.',
        'CPU: seconds of a core. Bytes: what every operation reads and writes, nothing fused and '
        'nothing in a cache.',
    ]
    extra = dict(phases=phases.found, ceilings=limits)
    return report(args, [whole], notes, extra)


def report(args: argparse.Namespace, races: list, notes: list, extra: dict) -> TimingReport:
    """A report of this tool."""
    asked = dict(config=args.config, batch_size=args.batch_size, precisions=args.precisions)
    machine = describe_machine(args.device, args.threads)
    clock = 'cpu' if args.device == 'cpu' else 'wall'
    return TimingReport('train_step', races, asked, machine, notes, extra, clock)


def main() -> None:
    """Parse arguments, measure, publish what was found."""
    parser = timing_parser(__doc__)
    parser.add_argument(
        '--config', default='configs/cellgan_tct.py', help='config (default: %(default)s)'
    )
    add_key_values(parser, '--cfg-options')
    parser.add_argument(
        '--batch-size', type=int, default=4, help='images per step (default: %(default)s)'
    )
    parser.add_argument(
        '--precisions',
        nargs='+',
        default=['float32', 'bfloat16'],
        choices=['float32', 'bfloat16'],
        help='precisions (default: both; --rewrites and --phases use the first)',
    )
    parser.add_argument('--compile', action='store_true', help='also time torch.compile')
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--rewrites', action='store_true', help='time the step with each rewrite undone in turn'
    )
    what.add_argument('--phases', action='store_true', help='time each phase of the step')
    args = parser.parse_args()
    if args.batch_size < 1:
        parser.error('--batch-size must be positive')
    if torch.device(args.device).type != get_device():
        parser.error(f'--device {args.device}: a step runs on {get_device()} here')
    check_timing_arguments(parser, args)
    init_default_scope('mmagic')
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # not a line per weight
    amp = args.precisions[0] == 'bfloat16'
    if args.rewrites:
        publish(measure_rewrites(args, amp), args)
    elif args.phases:
        publish(measure_phases(args, amp), args)
    else:
        publish(compare(args), args)


if __name__ == '__main__':
    with user_errors():
        main()
