"""Time the synthesiser beside the loop that everybody writes first, in one run.

The reference makes one image at a time: the generator as the checkpoint gives it (spectral norm
computed at every forward), float32, all threads on that image, Pillow's PNG in line. The
contestants take turns, so that a busy minute of the machine falls on both; medians are compared::

    python tools/benchmarks/synthesis.py --threads 2 --out synthesis
    python tools/benchmarks/synthesis.py --config configs/cellgan_phantom.py --images 200
    python tools/benchmarks/synthesis.py --precision fp32 --batch-size 32       # on a GPU

Weights are random unless ``--checkpoint`` is given; the time does not depend on them.
``--out NAME`` writes ``NAME.json`` and ``NAME.png``.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

# Thread counts must be set before the linear algebra libraries are loaded.
_threads = argparse.ArgumentParser(add_help=False)
_threads.add_argument('--threads', type=int, default=2, help='CPU threads of either contestant')
THREADS = _threads.parse_known_args()[0].threads
for _name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'):
    os.environ[_name] = str(THREADS)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmagic.registry import MODELS  # noqa: E402
from mmengine.config import DictAction  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

from cellgan_plugin.apis.inference import load_model  # noqa: E402
from cellgan_plugin.apis.synthesis_folder import SynthesisFolder  # noqa: E402
from cellgan_plugin.apis.synthesis_settings import (  # noqa: E402
    prepare_sampler,
    sample_settings,
    synthesis_noise,
)
from cellgan_plugin.apis.train import load_config  # noqa: E402
from cellgan_plugin.datasets.image_encoding import encode_image  # noqa: E402
from cellgan_plugin.datasets.image_io import load_image  # noqa: E402
from cellgan_plugin.engine.image_sampler import (  # noqa: E402
    GPU_BATCH_SIZE,
    PRECISIONS,
    ImageSampler,
    sample_many,
)
from cellgan_plugin.files import atomic_write  # noqa: E402
from cellgan_plugin.models.sampling import sample_pixels  # noqa: E402

Row = Tuple[int, int]


def build(args: argparse.Namespace) -> Tuple[nn.Module, Dict[str, Any]]:
    """A model on its device, and how to sample from it."""
    config = load_config(args.config, options=args.cfg_options)
    device = torch.device(args.device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if args.checkpoint:
        model = load_model(config, args.checkpoint, device).model
    else:
        init_default_scope('mmagic')
        torch.manual_seed(0)
        model = MODELS.build(config.model).to(device).eval()
    return model, sample_settings(config, device, precision=args.precision)


def reference(model: nn.Module, rows: List[Row], settings: Dict[str, Any], folder: Path) -> None:
    """One image at a time."""
    for label, seed in rows:
        noise = synthesis_noise(model.noise_size, [(label, seed)])
        pixels = sample_pixels(model, noise, torch.tensor([label]), settings['sample_model'])
        array = pixels[0].permute(1, 2, 0).cpu().numpy()
        Image.fromarray(array if array.shape[2] == 3 else array[:, :, 0]).save(
            folder / f'{label}_{seed}.png'
        )


def synthesiser(model: nn.Module, sampler: ImageSampler, rows: List[Row], folder: Path) -> None:
    """What ``tools/synthesize.py`` does once the model is loaded."""
    target = SynthesisFolder(folder)

    def inputs_of(batch: List[Row]) -> Tuple[torch.Tensor, torch.Tensor]:
        noise = synthesis_noise(model.noise_size, batch)
        return noise, torch.tensor([label for label, _ in batch])

    sample_many(
        sampler,
        rows,
        inputs_of,
        lambda row, image: target.write_image(str(row[0]), row[1], 'png', image),
    )


def greatest_difference(rows: List[Row], ours: Path, theirs: Path) -> Tuple[int, float]:
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


def draw(path: Path, results: List[Dict[str, Any]], title: str) -> None:
    """Images per second of either contestant as bars with their range."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 2.2))
    for row, result in enumerate(results):
        low, middle, high = result['slowest'], result['images_per_second'], result['fastest']
        axis.barh(row, middle, color=('#b0b0b0', '#3b75af')[row])
        axis.errorbar(middle, row, xerr=[[middle - low], [high - middle]], color='black', capsize=3)
        axis.text(high, row, f'  {middle:.1f}', va='center')
    axis.set_yticks(range(len(results)), [result['name'] for result in results])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.2 * max(result['fastest'] for result in results))
    axis.set_xlabel('images per second (median, range)')
    axis.set_title(title, fontsize=10)
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, format='png')
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        parents=[_threads],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--config', default='configs/cellgan_tct.py', help='default: %(default)s')
    parser.add_argument('--checkpoint')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    parser.add_argument('--images', type=int, default=20, help='per turn; default: %(default)s')
    parser.add_argument('--turns', type=int, default=5, help='of each; default: %(default)s')
    parser.add_argument('--batch-size', type=int, default=GPU_BATCH_SIZE, help='on a GPU')
    parser.add_argument('--precision', default='auto', choices=['auto', *PRECISIONS])
    parser.add_argument('--device')
    parser.add_argument('--target', type=float, help='fail (status 1) below this ratio')
    parser.add_argument('--out', metavar='NAME', help='write NAME.json and NAME.png')
    args = parser.parse_args()
    if min(args.images, args.turns, args.threads) < 1:
        parser.error('--images, --turns and --threads must be positive')
    if hasattr(os, 'sched_setaffinity'):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: args.threads])
    torch.set_num_threads(args.threads)

    plain, settings = build(args)
    model, _ = build(args)
    sampler = prepare_sampler(model, settings, args.batch_size)
    labels = range(plain.num_classes)
    rows = [(label, seed) for seed in range(args.images) for label in labels][: args.images]
    seconds: Dict[str, List[float]] = {'one at a time': [], 'synthesiser': []}
    core_seconds: Dict[str, List[float]] = {name: [] for name in seconds}
    with tempfile.TemporaryDirectory() as temporary:
        ours, theirs = Path(temporary, 'ours'), Path(temporary, 'theirs')
        theirs.mkdir()
        contestants = {
            'one at a time': lambda some: reference(plain, some, settings, theirs),
            'synthesiser': lambda some: synthesiser(model, sampler, some, ours),
        }
        for function in contestants.values():  # kernels are chosen outside the measurement
            function(rows[: 2 * args.threads])
        for turn in range(args.turns):
            for name, function in contestants.items():
                if sys.stderr.isatty():
                    print(f'\rturn {turn + 1}/{args.turns}, {name:16s}', end='', file=sys.stderr)
                start, core_start = time.perf_counter(), time.process_time()
                function(rows)
                seconds[name].append(time.perf_counter() - start)
                core_seconds[name].append(time.process_time() - core_start)
        if sys.stderr.isatty():
            print('\r' + ' ' * 60 + '\r', end='', file=sys.stderr)
        worst, share = greatest_difference(rows, ours, theirs)
    results = [
        dict(
            name=name,
            images_per_second=args.images / statistics.median(times),
            slowest=args.images / max(times),
            fastest=args.images / min(times),
            core_seconds_per_image=statistics.median(core_seconds[name]) / args.images,
        )
        for name, times in seconds.items()
    ]
    pairs = [a / b for a, b in zip(*seconds.values(), strict=True)]
    report = dict(
        config=args.config,
        image_shape=list(load_shape(sampler, model)),
        images=args.images,
        turns=args.turns,
        threads=args.threads,
        device=settings['device'],
        images_per_call=sampler.images_per_call,
        precision=sampler.precision,
        results=results,
        ratio=statistics.median(pairs),
        ratio_lowest=min(pairs),
        ratio_highest=max(pairs),
        greatest_difference=worst,
        differing_share=share,
        **parts(model, sampler, 5),
        processor=platform.processor() or platform.machine(),
        gpu=torch.cuda.get_device_name() if settings['device'] == 'cuda' else None,
        torch=torch.__version__,
        load_average=os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
    )
    show(report)
    if args.out:
        out = Path(args.out)
        with atomic_write(out.with_suffix('.json'), 'w', encoding='utf-8') as file:
            json.dump(report, file, indent=2)
            file.write('\n')
        size = report['image_shape'][0]
        where = report['gpu'] or f'CPU, {args.threads} threads'.replace('1 threads', '1 thread')
        title = f'{Path(args.config).stem}, {size} px, {where}: {report["ratio"]:.1f} times'
        draw(out.with_suffix('.png'), results, title)
    if args.target and report['ratio'] < args.target:
        raise SystemExit(f'{report["ratio"]:.1f} times, below the target of {args.target}')


def load_shape(sampler: ImageSampler, model: nn.Module) -> Tuple[int, ...]:
    """(H, W, C) of an image."""
    with sampler.session(), sampler.worker():
        return sampler(synthesis_noise(model.noise_size, [(0, 0)]), torch.tensor([0]))[0].shape


def show(report: Dict[str, Any]) -> None:
    """Print the table."""
    print(f'{"":16s} {"images/s":>9s} {"(slowest - fastest)":>21s} {"core s/image":>13s}')
    for row in report['results']:
        print(
            f'{row["name"]:16s} {row["images_per_second"]:9.2f} '
            f'({row["slowest"]:8.2f} - {row["fastest"]:8.2f}) {row["core_seconds_per_image"]:13.4f}'
        )
    print(
        f'ratio {report["ratio"]:.2f} ({report["ratio_lowest"]:.2f} - '
        f'{report["ratio_highest"]:.2f}), median of the turns; images differ by '
        f'{report["greatest_difference"]} grey levels at most, in '
        f'{100 * report["differing_share"]:.3g} % of the values\n'
        f'one worker: network {report["network_ms"]:.1f} ms per image, PNG '
        f'{report["png_ms"]:.1f} ms; load average {report["load_average"]}'
    )


if __name__ == '__main__':
    main()
