"""Does the rewritten training step train as well as the step as the paper reads?

Trains the same config several times: with ``plain_training_step.py``, with the step as it is in
float32, and in mixed precision, each from the same seeds. Rounding alone drives two trainings
apart, so that what can be compared is the curve of the distance to real images beside the spread
over seeds::

    python tools/dataset_converters/phantom.py --out demo/data --size 64 --splits train=200,val=50
    export CELLGAN_PHANTOM_ROOT=demo/data CELLGAN_CLASSIFIER=demo/classifier
    python tools/train.py configs/classifiers/resnet18_phantom.py --work-dir demo/classifier
    python tools/benchmarks/step_quality.py --work-dir demo/step_quality --plot step_quality.png

A run that is complete is not repeated; one that was stopped goes on.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any, Dict, List

from mmagic.registry import MODELS
from mmengine import MessageHub
from mmengine.config import DictAction
from plain_training_step import discriminator_losses, evaluate, generate
from timing.report import aligned

from cellgan_plugin.files import atomic_write
from cellgan_plugin.models.cellgan import CellGAN
from cellgan_plugin.runs.command_line import user_errors
from cellgan_plugin.runs.train import train
from cellgan_plugin.visualization.figures import new_figure, save_figure

STEPS = ('as the paper reads', 'float32', 'bfloat16')
Curve = Dict[int, float]


@MODELS.register_module()
class LiteralCellGAN(CellGAN):
    """CellGAN that trains by the literal step."""

    def train_discriminator(self, inputs, data_samples, optimizer_wrapper):
        """As :meth:`CellGAN.train_discriminator`, literally."""
        real, random = inputs['img'], self.step_random
        label = self.data_sample_to_label(data_samples)
        fake = generate(
            self.generator, random.normal('noise_disc', len(real), self.noise_size), label
        )
        losses = discriminator_losses(
            self,
            real,
            label,
            self._augmented(real, 'augment_real'),
            self._augmented(fake, 'augment_fake'),
            random.integers('crop', self.discriminator.max_crop_offset + 1, 2),
        )
        loss, log_vars = self.parse_losses(losses)
        optimizer_wrapper.update_params(loss)
        self.generator.zero_grad()
        return log_vars

    def train_generator(self, inputs, data_samples, optimizer_wrapper):
        """As :meth:`CellGAN.train_generator`, literally."""
        label, random = self.data_sample_to_label(data_samples), self.step_random
        noise = random.normal('noise_gen', len(label), self.noise_size)
        fake = self._augmented(generate(self.generator, noise, label), 'augment_gen')
        logits, _, _ = evaluate(self.discriminator, fake, label, (0, 0))
        loss, log_vars = self.parse_losses(dict(loss_gen=-logits.mean()))
        optimizer_wrapper.update_params(loss)
        return log_vars


def run(args: argparse.Namespace, step: str, seed: int) -> Curve:
    """One training; {iteration: distance}."""
    folder = Path(args.work_dir) / step.replace(' ', '_') / f'seed_{seed}'
    options = {
        'train_cfg.max_iters': args.iterations,
        'train_cfg.val_interval': args.interval,
        'randomness.seed': seed,
        'default_hooks.checkpoint.interval': args.interval,
        **(args.cfg_options or {}),
    }
    if step == STEPS[0]:
        options['model.type'] = 'LiteralCellGAN'
    MessageHub._instance_dict.clear()  # the curve of the run before is not this one's
    train(args.config, folder, resume=True, amp=step == 'bfloat16', options=options)
    curve = json.loads((folder / 'model_selection.json').read_text(encoding='utf-8'))['curve']
    return {int(iteration): distance for iteration, distance in curve}


def draw(curves: Dict[str, List[Curve]], path: str, name: str) -> None:
    """One line per run, one colour per step."""
    figure = new_figure(7, 3.6)
    axes = figure.add_subplot()
    for (step, runs), colour in zip(curves.items(), ('0.5', 'tab:blue', 'tab:orange'), strict=True):
        for number, curve in enumerate(runs):
            axes.plot(
                *zip(*curve.items(), strict=True),
                color=colour,
                ls=('-', '--', ':', '-.')[number % 4],
                marker='o',
                ms=3,
                lw=1.3,
                label=step if number == 0 else None,
            )
    axes.set_xlabel(f'iteration (one line style per seed), {name}')
    axes.set_ylabel('Fréchet distance, mean over classes')
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    save_figure(figure, path)


def table(curves: Dict[str, List[Curve]]) -> List[str]:
    """Mean over seeds and range at every validation."""
    iterations = sorted(next(iter(curves.values()))[0])
    rows = [['Mean FD (range over seeds)', *(f'iter {i}' for i in iterations)]]
    for step, runs in curves.items():
        cells = []
        for iteration in iterations:
            values = [curve[iteration] for curve in runs]
            cells.append(f'{statistics.mean(values):.1f} ({min(values):.1f} - {max(values):.1f})')
        rows.append([step, *cells])
    return aligned(rows)


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='configs/cellgan_phantom_fd.py')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    parser.add_argument('--work-dir', required=True)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument('--iterations', type=int, default=250)
    parser.add_argument('--interval', type=int, default=50, help='between validations')
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('--plot', metavar='FILE')
    args = parser.parse_args()
    with user_errors():
        curves = {step: [] for step in STEPS}
        for seed in args.seeds:
            for step in STEPS:
                curves[step].append(run(args, step, seed))
    print('\n'.join(table(curves)))
    if args.json:
        found: Dict[str, Any] = dict(config=args.config, seeds=args.seeds, curves=curves)
        with atomic_write(args.json, 'w', encoding='utf-8') as file:
            json.dump(found, file, indent=2)
            file.write('\n')
    if args.plot:
        draw(curves, args.plot, Path(args.config).stem)


if __name__ == '__main__':
    main()
