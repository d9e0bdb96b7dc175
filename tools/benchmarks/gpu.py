"""Measure everything that matters on a GPU, in at most nine minutes.

::

    python tools/benchmarks/gpu.py --out gpu                 # on one card
    python tools/benchmarks/gpu.py --out gpu --parts placement parity
    python tools/benchmarks/gpu.py --out gpu --small         # anywhere: sizes that say nothing

Parts, most important first: versions, card and its peak speed; a step of every model at full size;
losses and gradients compared with the CPU; CellGAN's training step against the plain one; waiting
for data; synthesis; distances; memory of the other models; then real training in the remaining
time. Each part is a process with its own time limit. ``gpu.json`` and ``gpu.md`` are rewritten
after every number, so results are kept when a part is stopped or fails.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

FOLDER = Path(__file__).resolve().parent
REPO = FOLDER.parents[1]
sys.path.insert(0, str(REPO))  # without an installation of the plugin too

from cellgan_plugin.files import atomic_write  # noqa: E402

# In order of worth, each with its title and the most seconds it may take.
PARTS = {
    'machine': ('Machine', 40),
    'placement': ('One step of every model, batch 2', 100),
    'parity': ('Losses and gradients beside those of the CPU in float32', 60),
    'training_step': ("CellGAN's training step", 170),
    'loader': ('Waiting for data', 45),
    'sampling': ('Synthesis', 40),
    'distances': ('Frechet distance', 40),
    'other_models': ('Other models', 75),
    'training': ('Training for the rest of the time', 540),
}


def as_text(value: Any) -> str:
    """A cell of the table."""
    if value is None:
        return ''
    if isinstance(value, float):
        return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.3g}'
    return str(value).replace('|', '/')


def markdown(found: Dict[str, Any]) -> str:
    """All parts as tables."""
    lines = [f'# GPU: {found["started"]}', '']
    if found['small']:
        lines += ['Made with --small: the numbers say nothing about speed.', '']
    for name, part in found['parts'].items():
        lines += [f'## {PARTS[name][0]}', '', f'{part["state"]}, {part["seconds"]:.0f} s', '']
        if part['rows']:
            head = list(dict.fromkeys(key for row in part['rows'] for key in row))
            cells = [head, ['---'] * len(head)]
            cells += [[as_text(row.get(key)) for key in head] for row in part['rows']]
            lines += [*(f'| {" | ".join(row)} |' for row in cells), '']
    return '\n'.join(lines)


def write(found: Dict[str, Any], out: Path) -> None:
    """Write what is known so far."""
    with atomic_write(out / 'gpu.json', 'w', encoding='utf-8') as file:
        json.dump(found, file, indent=2)
    with atomic_write(out / 'gpu.md', 'w', encoding='utf-8') as file:
        file.write(markdown(found))


def draw(found: Dict[str, Any], out: Path) -> None:
    """A bar per training step."""
    from cellgan_plugin.visualization.figures import new_figure, save_figure

    part = found['parts'].get('training_step', dict(rows=[]))
    rows = [row for row in part['rows'] if row.get('images/s') and row['times the plain step']]
    if not rows:
        return
    figure = new_figure(7.5, 1.0 + 0.34 * len(rows))
    axes = figure.add_subplot()
    for number, row in enumerate(rows):
        axes.barh(number, row['images/s'], color='0.7' if number == 0 else 'tab:blue', height=0.7)
        text = f'  {row["images/s"]:.3g}   ({row["times the plain step"]:.2f} x)'
        axes.text(row['images/s'], number, text, va='center', fontsize=8)
    axes.set_yticks(range(len(rows)), [row['step'] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(row['images/s'] for row in rows))
    axes.set_title('CellGAN, images per second of training', fontsize=9, loc='left')
    axes.spines[['top', 'right']].set_visible(False)
    save_figure(figure, out / 'training_step.png')


def rows_in(record: Path) -> List[Dict[str, Any]]:
    """Whole lines that a part has written so far."""
    text = record.read_text(encoding='utf-8') if record.is_file() else ''
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith('\n')]


def run_part(name: str, limit: float, args: argparse.Namespace, found: Dict[str, Any]) -> None:
    """Run a part in a process of its own and write every row as it comes."""
    part = found['parts'][name] = dict(state='running', seconds=0.0, limit=limit, rows=[])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        record, log = Path(temporary, 'rows.jsonl'), Path(temporary, 'log.txt')
        command = [sys.executable, __file__, '--out', args.out, '--device', args.device]
        command += ['--part', name, '--record', record, '--seconds', limit]
        command += ['--small'] * args.small
        with log.open('w') as said:
            process = subprocess.Popen(
                list(map(str, command)), cwd=REPO, stdout=said, stderr=said, start_new_session=True
            )
            try:
                while process.poll() is None and time.monotonic() - began < limit:
                    time.sleep(0.2)
                    rows = rows_in(record)
                    if len(rows) > len(part['rows']):
                        part.update(rows=rows, seconds=time.monotonic() - began)
                        write(found, Path(args.out))
            finally:
                ended = process.poll()
                if ended is None:  # with the workers of its loaders
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        part.update(rows=rows_in(record), seconds=time.monotonic() - began, state='done')
        if ended is None:
            part['state'] = f'stopped at its limit of {limit:.0f} s'
        elif ended:
            lines = log.read_text(errors='replace').strip().splitlines()[-12:]
            part.update(state=f'failed with status {ended}', error=lines)
    write(found, Path(args.out))


def give_rows(args: argparse.Namespace) -> None:
    """What the process of a part does."""
    sys.path.insert(0, str(FOLDER))
    import logging

    import gpu_parts
    import torch
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    init_default_scope('mmagic')
    MMLogger.get_current_instance().setLevel(logging.ERROR)  # not a line per weight
    torch.backends.cudnn.benchmark = True  # as in training
    settings = gpu_parts.Settings(Path(args.out).resolve(), args.device, args.small, args.seconds)
    for row in getattr(gpu_parts, args.part)(settings):
        with open(args.record, 'a', encoding='utf-8') as file:
            file.write(json.dumps(row) + '\n')


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for JSON, table and pictures'
    )
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument('--minutes', type=float, default=9.0, help='total time limit (default: 9)')
    parser.add_argument('--small', action='store_true', help='small models and few images')
    parser.add_argument(
        '--device', default='cuda', help='device (default: cuda; with --small: cpu)'
    )
    for name, kind in (('--part', str), ('--record', str), ('--seconds', float)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)  # of a part's own process
    return parser


def main() -> int:
    """Run the parts in their order; 1 where one failed."""
    parser = make_parser()
    args = parser.parse_args()
    args.out = str(Path(args.out).resolve())  # parts run in the repository
    if args.small and '--device' not in sys.argv:
        args.device = 'cpu'
    if args.part:
        give_rows(args)
        return 0
    import torch

    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('there is no CUDA device here; --small runs anywhere')
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * args.minutes
    found: Dict[str, Any] = dict(
        started=time.strftime('%Y-%m-%d %H:%M'), small=args.small, device=args.device, parts={}
    )
    for name in [name for name in PARTS if name in args.parts]:
        left = end - time.monotonic() - 5
        if left < 5:
            found['parts'][name] = dict(state='no time left', seconds=0.0, limit=0.0, rows=[])
            continue
        limit = left if args.small else min(PARTS[name][1], left)
        run_part(name, limit, args, found)
        part = found['parts'][name]
        print(f'{name}: {part["state"]}, {part["seconds"]:.0f} s', flush=True)
        for line in part.get('error', []):
            print(f'    {line}', file=sys.stderr)
    write(found, out)
    draw(found, out)
    print(f'{out / "gpu.md"}')
    return int(any(part['state'].startswith('failed') for part in found['parts'].values()))


if __name__ == '__main__':
    sys.exit(main())
