r"""Which recipe makes the better images in the same processor time?

Trains every config with every seed for the same processor minutes (data and steps), evaluates the
averaged generator with the config's own validation, and writes a table (Markdown, LaTeX, CSV, JSON)
and a picture with a row of images per class for every run::

    python tools/dataset_converters/phantom.py --out data/phantom --size 64 \
        --splits train=1000,val=200
    python tools/train.py configs/classifiers/resnet18_phantom.py
    OMP_NUM_THREADS=1 python tools/benchmarks/recipes.py configs/cellgan_phantom_fd.py \
        configs/cellgan_plus/cellgan_plus_phantom.py --seeds 0 1 --cpu-minutes 3 --amp \
        --out work_dirs/recipes

To vary single values, write a config with the other one as its ``_base_``. Complete runs are not
repeated, and interrupted runs continue. The table is written after every run.
"""

import json
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import torch
from mmengine.config import Config

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.engine.training_cost import read_training_cost
from cellgan_plugin.files import atomic_write
from cellgan_plugin.models.sampling import draw_noise, sample_pixels
from cellgan_plugin.runs.command_line import ToolParser, add_key_values, user_errors
from cellgan_plugin.runs.test import test
from cellgan_plugin.runs.train import is_complete, load_config, train
from cellgan_plugin.runs.trained_model import load_model
from cellgan_plugin.visualization import image_grid
from cellgan_plugin.visualization.report_tables import Column, ReportTable, write_report_table

COLUMNS = 10  # images of each class on the picture


def budgeted(path: str, minutes: float, seed: int) -> Config:
    """A config that stops when its processor time is spent and validates at no other time."""
    config = load_config(path)
    budget = dict(type='TimeBudgetHook', minutes=minutes, clock='cpu')
    never = 10**9
    config.custom_hooks = [
        dict(type='NonFiniteLossHook'),
        dict(type='ThroughputHook'),
        dict(type='PreemptionHook'),
        budget,
    ]
    config.train_cfg.update(max_iters=never, val_interval=never)
    config.default_hooks.checkpoint.interval = 500
    config.randomness = dict(seed=seed)
    return config


def evaluate(config: Config, checkpoint: Path, folder: Path) -> List[Dict[str, Any]]:
    """Rows of the validation's table: Frechet distance, precision, recall, density, coverage."""
    options = {'val_evaluator.metrics.0.distances': ['fd', 'prdc']}
    (report,) = test(Config(config.to_dict()), checkpoint, folder, options)
    return report['rows']


def run(path: str, seed: int, args: Any) -> Dict[str, Any]:
    """Train and evaluate once, or read what was found before."""
    folder = Path(args.out) / Path(path).stem / f'seed_{seed}'
    result = folder / 'result.json'
    if result.is_file():
        return json.loads(result.read_text(encoding='utf-8'))
    config = budgeted(path, args.cpu_minutes, seed)
    runner = train(config, folder, resume=True, amp=args.amp, options=args.cfg_options)
    if not is_complete(runner):
        raise SystemExit('interrupted; the same command goes on')
    checkpoint = Path(runner.message_hub.get_info('last_ckpt'))
    found = dict(
        config=path,
        seed=seed,
        iterations=runner.iter,
        cpu_seconds=read_training_cost(checkpoint).cpu_seconds,
        checkpoint=str(checkpoint),
        rows=evaluate(load_config(path, options=args.cfg_options), checkpoint, folder),
    )
    with atomic_write(result, 'w', encoding='utf-8') as file:
        json.dump(found, file, indent=2, default=vars)
    return found


def table(found: List[Dict[str, Any]], minutes: float) -> ReportTable:
    """One row per run: distances of classes and their mean, recall and coverage."""
    names = [row['row'] for row in found[0]['rows'] if row['row'] != 'pooled']
    frechet = next(key for key in found[0]['rows'][0]['values'] if key.startswith(('FD', 'FID')))
    columns = [Column('recipe', 'Recipe'), Column('seed', 'Seed', digits=0)]
    columns += [Column(f'fd_{name}', f'FD {name}', better='lower') for name in names]
    columns += [Column(key, key.capitalize(), better='higher') for key in ('recall', 'coverage')]
    columns.append(Column('iterations', 'Iterations', digits=0))
    rows = []
    for run in found:
        values = {row['row']: row['values'] for row in run['rows']}
        row = dict(recipe=Path(run['config']).stem, seed=run['seed'], iterations=run['iterations'])
        row.update({f'fd_{name}': values[name].get(frechet) for name in names})
        row.update({key: values['mean'].get(key) for key in ('recall', 'coverage')})
        rows.append(row)
    notes = [f'{frechet}; {minutes:g} processor minutes each, data and steps.']
    return ReportTable('Recipes', columns, rows, notes)


def picture(found: List[Dict[str, Any]]) -> np.ndarray:
    """The same z in every run: a row of images per class, runs below one another."""
    rows, titles = [], []
    for run in found:
        loaded = load_model(run['config'], run['checkpoint'], 'cpu')
        noise = draw_noise(loaded.model.noise_size, 0, 'recipes', [(i,) for i in range(COLUMNS)])
        for label, name in enumerate(loaded.classes):
            labels = torch.full((COLUMNS,), label)
            pixels = sample_pixels(loaded.model, noise, labels).permute(0, 2, 3, 1).cpu().numpy()
            rows.append(list(pixels))
            titles.append(f'{Path(run["config"]).stem} {run["seed"]} {name}')
    return image_grid(rows, titles)


def make_parser() -> ToolParser:
    """The command line."""
    parser = ToolParser(__doc__)
    parser.add_argument(
        'configs', nargs='+', metavar='CONFIG', help='configs that define an evaluation'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument(
        '--cpu-minutes', type=float, default=3.0, help='processor minutes per run (default: 3)'
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 on a CPU')
    add_key_values(parser, '--cfg-options')
    parser.add_argument('--out', required=True, metavar='DIR')
    return parser


def main() -> None:
    """Train, evaluate, write."""
    parser = make_parser()
    args = parser.parse_args()
    stems = [Path(path).stem for path in args.configs]
    if len(set(stems)) < len(stems):
        parser.error(f'two configs have the same name, by which their folders are called: {stems}')
    with user_errors():
        found: List[Dict[str, Any]] = []
        for seed in args.seeds:
            for path in args.configs:
                found.append(run(path, seed, args))
                ordered = sorted(found, key=lambda r: (args.configs.index(r['config']), r['seed']))
                files = write_report_table(args.out, 'recipes', table(ordered, args.cpu_minutes))
                write_png(Path(args.out) / 'recipes.png', picture(ordered))
        print(files[0].read_text(encoding='utf-8'))


if __name__ == '__main__':
    main()
