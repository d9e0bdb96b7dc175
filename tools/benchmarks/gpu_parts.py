"""The parts that ``gpu.py`` measures; each yields a row as soon as it is known.

A part is a function of the name that it has in ``gpu.PARTS``.
"""

import argparse
import gc
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple

import torch
from gpu_steps import Step, losses_and_gradients
from timing import ceilings, describe_machine, peak_memory, race, synchronize

from cellgan_plugin.evaluation.distances import frechet_distance
from cellgan_plugin.randomness import generator_for

Row = Dict[str, Any]
MIB = 2**20
# Full size, and for --small.
MODELS = {
    'CellGAN': ('cellgan_tct', 'cellgan_phantom'),
    'CellGAN-plus': ('cellgan_plus/cellgan_plus_cric_64', 'cellgan_plus/cellgan_plus_phantom'),
    'HistoGAN': ('histogan/histogan_cervical', 'histogan/histogan_tissue_phantom'),
    'BigGAN': ('biggan/biggan_tct', 'biggan/biggan_phantom'),
    'SNGAN': ('sngan_proj/sngan_proj_tct', 'sngan_proj/sngan_proj_phantom'),
    'autoencoder': (
        'latent_diffusion/autoencoder_kl_tct',
        'latent_diffusion/autoencoder_phantom',
    ),
    'latent diffusion': ('latent_diffusion/ldm_tct', 'latent_diffusion/ldm_phantom'),
    'pyramid GAN': ('pyramid_gan/pyramid_glas', 'pyramid_gan/pyramid_phantom'),
    'mean teacher': ('pyramid_gan/mean_teacher_glas', 'pyramid_gan/mean_teacher_phantom'),
    'pix2pix': ('pyramid_gan/pix2pix_glas', 'pyramid_gan/pix2pix_phantom'),
    'FC-DenseNet': ('pyramid_gan/fc_densenet_glas', 'pyramid_gan/fc_densenet_phantom'),
}


class Settings(NamedTuple):
    """What a part is told.

    Attributes:
        out (Path): Folder for pictures.
        device (str): That computes.
        small (bool): Sizes that say nothing about speed.
        seconds (float): How long the part may take.
    """

    out: Path
    device: str
    small: bool
    seconds: float

    def config(self, name: str) -> str:
        """Path of a model's config."""
        return f'configs/{MODELS[name][self.small]}.py'


def tried(row: Row, function: Callable[[], Row]) -> Row:
    """A row with what a function finds, or why it did not: what follows is measured anyway."""
    try:
        found = function()
    except Exception as error:
        found = {'error': f'{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}'}
    gc.collect()  # what it held on the device
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return row | found


def machine(settings: Settings) -> Iterator[Row]:
    """Versions and card, and what large products and copies reach."""
    found = describe_machine(settings.device)
    versions = found.pop('versions')
    yield {'what': 'device', 'value': found['device']}
    if settings.device == 'cuda':
        driver = torch.cuda.get_device_properties(0)
        yield {'what': 'GPU memory, MiB', 'value': driver.total_memory // MIB}
        yield {'what': 'compute capability', 'value': f'{driver.major}.{driver.minor}'}
        yield {'what': 'CUDA, cuDNN', 'value': f'{torch.version.cuda}, {cudnn()}'}
    for name, value in {'python': found['python'], **versions, 'cores': found['cores']}.items():
        yield {'what': name, 'value': value}
    for name, value in ceilings(settings.device).items():
        unit = 'GB/s' if name == 'copy' else 'TFLOP/s'
        yield {
            'what': f'{name}, {unit}',
            'value': round(value / (1e9 if name == 'copy' else 1e12), 3),
        }


def cudnn() -> str:
    """Version of cuDNN."""
    return str(torch.backends.cudnn.version())


def placement(settings: Settings) -> Iterator[Row]:
    """A step of every model at full size, batch 2, in float32 and in bfloat16."""

    def state(name: str, amp: bool) -> Row:
        log = Step(settings.config(name), settings.device, 2, amp)()
        losses = {key: value for key, value in log.items() if 'loss' in key}
        bad = [key for key, value in losses.items() if not torch.isfinite(value).all()]
        return {'step': f'not finite: {", ".join(bad)}' if bad else 'finite losses'}

    for name in list(MODELS)[:2] if settings.small else MODELS:
        for amp in (False, True):
            row = {'model': name, 'config': settings.config(name)}
            row['precision'] = 'bfloat16' if amp else 'float32'
            yield tried(row, partial(state, name, amp))


def parity(settings: Settings) -> Iterator[Row]:
    """Losses and gradients of one step beside those of the CPU in float32."""
    for name in ('CellGAN',) if settings.small else ('CellGAN', 'HistoGAN', 'pyramid GAN'):
        make = partial(Step, settings.config(name), batch=2 if name == 'pyramid GAN' else 4)
        host = losses_and_gradients(make(device='cpu'))
        for precision in ('float32', 'float32 with TF32', 'bfloat16'):
            if settings.device != 'cuda' and precision == 'float32 with TF32':
                continue
            torch.backends.cudnn.allow_tf32 = precision == 'float32 with TF32'
            step = make(device=settings.device, amp=precision == 'bfloat16')
            losses, gradients = losses_and_gradients(step)
            row: Row = {'model': name, 'precision': precision}
            row['losses, greatest relative difference'] = max(
                abs(losses[k] - v) / max(abs(v), 1e-6) for k, v in host[0].items()
            )
            for part, expected in host[1].items():
                pairs = list(zip(gradients[part], expected, strict=True))
                off = sum((a - b).double().square().sum() for a, b in pairs).sqrt()
                norm = sum(b.double().square().sum() for _, b in pairs).sqrt()
                row[f'gradient of the {part}, relative difference'] = float(off / norm)
            yield row
    torch.backends.cudnn.allow_tf32 = True


def training_step(settings: Settings) -> Iterator[Row]:
    """CellGAN's step as the paper reads, and ours in float32, bfloat16, compiled, with graphs."""
    from train_step import LITERAL, LiteralStep, OurStep, measure_phases

    args = argparse.Namespace(
        config=settings.config('CellGAN'),
        cfg_options=None,
        batch_size=2 if settings.small else 64,
        device=settings.device,
        threads=0,
        turns=1 if settings.small else 10,
        precisions=['float32', 'bfloat16'],
    )
    graphs = dict(mode='reduce-overhead')
    steps: Dict[str, Callable[[], Callable]] = {
        LITERAL: lambda: LiteralStep(args),
        'float32': lambda: OurStep(args),
        'bfloat16': lambda: OurStep(args, amp=True),
    }
    compiled: Dict[str, Callable[[], Callable]] = {}
    if settings.device == 'cuda':
        compiled['bfloat16, compiled'] = lambda: OurStep(args, True, True)
        compiled['bfloat16, CUDA graphs'] = lambda: OurStep(args, True, graphs)
        compiled['float32, compiled'] = lambda: OurStep(args, False, True)
    plain: Row = {}

    def timed(name: str, make: Callable[[], Callable]) -> Row:
        began = time.perf_counter()
        step = make()
        step(), synchronize(settings.device)
        first = time.perf_counter() - began
        found = race({name: step}, args.turns, None, '', args.batch_size, 'images', args.device, 2)
        seconds = found.wall(name).median
        if name == LITERAL:
            plain['seconds'] = seconds
        peak = peak_memory(step, settings.device)
        return {
            'ms': seconds * 1e3,
            'images/s': args.batch_size / seconds,
            'times the plain step': plain['seconds'] / seconds if plain else None,
            'peak MiB': peak and peak / MIB,
            'seconds until the first is done': first,
        }

    def phases(amp: bool) -> Iterator[Row]:
        for name, phase in measure_phases(args, amp).extra['phases'].items():
            ms = sorted(phase['seconds'])[len(phase['seconds']) // 2] * 1e3
            row = {'step': f'{"bfloat16" if amp else "float32"}, phase {name}', 'ms': ms}
            speed = phase['flop'] / 1e6 / max(ms, 1e-9)
            yield row | {'GFLOP': phase['flop'] / 1e9, 'GFLOP/s': speed}

    for name, make in steps.items():
        yield tried({'step': name, 'batch': args.batch_size}, partial(timed, name, make))
    for amp in (True,) if settings.small else (False, True):
        yield from phases(amp)
    for name, make in compiled.items():  # last, as compiling may take longer than there is
        yield tried({'step': name, 'batch': args.batch_size}, partial(timed, name, make))


def loader(settings: Settings) -> Iterator[Row]:
    """Share of a 30 ms step that waits for its batch."""
    import loader as feeds

    from cellgan_plugin.phantom import write_phantom_dataset

    args = argparse.Namespace(
        config=None,
        size=32 if settings.small else 256,
        batch_size=4 if settings.small else 64,
        batches=5 if settings.small else 60,
        workers=1 if settings.small else 4,
        device=settings.device,
        reference=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_phantom_dataset(
            Path(folder), size=args.size, counts=4 if settings.small else 40, seed=0
        )
        for name, feed in feeds.contestants(args, Path(folder)).items():
            found = race({name: partial(feeds.use_up, feed, args.device)}, 1, device=args.device)
            speed = args.batches * args.batch_size / found.wall(name).median
            row = {'way': name, 'workers': args.workers if 'no worker' not in name else 0}
            if name == "cache='device'":
                row['workers'] = 0
            share = feeds.waiting_share(feed, 0.005 if settings.small else 0.03)
            yield row | {'images/s': speed, 'waiting, %': 100 * share}


def sampling(settings: Settings) -> Iterator[Row]:
    """Images per second of the synthesiser, files written, beside one image at a time."""
    import synthesis

    for precision in ('fp32', 'bf16'):
        args = argparse.Namespace(
            config=settings.config('CellGAN'),
            cfg_options=None,
            checkpoint=None,
            device=settings.device,
            threads=torch.get_num_threads(),
            reference=precision == 'fp32',
            images=2 if settings.small else 256,
            batch_size=2 if settings.small else 64,
            precision=precision,
            turns=1,
        )
        report = synthesis.run(args)
        for name in report.races[0].measurements:
            row = {'way': name, 'precision': precision}
            yield row | {'images/s': report.races[0].rate(name).median, 'note': report.notes[-1]}


def distances(settings: Settings) -> Iterator[Row]:
    """Frechet distance on the device, and the same value of the CPU."""
    size, features = (50, 16) if settings.small else (10_000, 2048)
    draws = generator_for(0, 'benchmarks/gpu/distances')
    real, fake = (torch.randn(size, features, generator=draws) for _ in range(2))
    fake = 1.2 * fake + 0.02
    expected = None
    for device in dict.fromkeys(('cpu', settings.device)):
        pair = real.to(device), fake.to(device)
        frechet_distance(*pair)
        found = race({device: partial(frechet_distance, *pair)}, 2, device=device, warm_up=0)
        value = found.measurements[device].value
        expected = value if expected is None else expected
        row = {'device': device, 'images': size, 'features': features}
        row |= {'seconds': found.wall(device).median, 'FD': value}
        yield row | {'relative difference to the CPU': abs(value - expected) / expected}


def other_models(settings: Settings) -> Iterator[Row]:
    """A step of the other models at their own batch: time, and peak memory."""
    from training_memory import peak_of_scale

    from cellgan_plugin.runs.train import load_config

    def timed(name: str, amp: bool) -> Row:
        step = Step(settings.config(name), settings.device, 2 if settings.small else None, amp)
        found = race({name: step}, 1 if settings.small else 3, device=settings.device)
        peak = peak_memory(step, settings.device)
        ms = found.wall(name).median * 1e3
        return {'batch': step.images, 'ms': ms, 'peak MiB': peak and peak / MIB}

    def of_scale(index: int) -> Row:
        recompute = bool(scales[index].get('checkpoint', False))
        counted = peak_of_scale(load_config(path), index, recompute, 'meta').counted
        seen = peak_of_scale(load_config(path), index, recompute, settings.device).seen
        row = {'batch': scales[index].batch_size, 'peak MiB': seen * 1024}
        return row | {'counted in docs/pyramid_gan.md, MiB': counted * 1024}

    for name in ('HistoGAN',) if settings.small else ('HistoGAN', 'BigGAN', 'latent diffusion'):
        for amp in (True,) if settings.small else (False, True):
            row = {'model': name, 'precision': 'bfloat16' if amp else 'float32'}
            yield tried(row, partial(timed, name, amp))
    path = 'configs/pyramid_gan/pyramid_prostate.py'
    path = settings.config('pyramid GAN') if settings.small else path
    scales = load_config(path).model.scales
    for index, scale in enumerate(scales):
        if scale.size == scales[-1].size or scale.size >= 512:
            row = {'model': f'pyramid GAN, {scale.size} px', 'precision': 'float32'}
            yield tried(row, partial(of_scale, index))


def training(settings: Settings) -> Iterator[Row]:
    """CellGAN trains on phantoms at 64 px for what is left of the time; its sheet and curves."""
    from cellgan_plugin.phantom import write_phantom_dataset
    from cellgan_plugin.runs.train import train

    options: Dict[str, Any] = {}
    if settings.small:
        options = {'train_cfg.max_iters': 2, 'train_dataloader.batch_size': 2}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data, work = Path(folder, 'data'), Path(folder, 'work')
        write_phantom_dataset(data, size=64, counts=2 if settings.small else 200, seed=0)
        options['train_dataloader.dataset.data_root'] = str(data)
        if not settings.small:
            options['train_cfg.max_iters'] = 10**6
            options['train_dataloader.batch_size'] = 64
        # The start of this process has taken some of it, and the end is saved and drawn.
        left = max(10.0, settings.seconds - (time.perf_counter() - began) - 45)
        runner = train(
            'configs/cellgan_phantom.py', work, amp=True, options=options, minutes=left / 60
        )
        row: Row = {'config': 'configs/cellgan_phantom.py', 'iterations': runner.iter}
        for key in ('img_per_s', 'it_per_s'):
            found = runner.message_hub.log_scalars.get(f'train/{key}')
            row[key] = found.mean() if found is not None else None
        shutil.copy(sorted((work / 'sheets').glob('*.png'))[-1], settings.out / 'sheet.png')
        shutil.copy(work / 'curves.png', settings.out / 'curves.png')
        yield row
