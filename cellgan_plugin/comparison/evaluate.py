"""Sample and evaluate one model of a comparison, in a process of its own.

``python -m cellgan_plugin.comparison.evaluate FOLDER``, where FOLDER holds what
:meth:`cellgan_plugin.comparison.parts.Evaluation.prepare` wrote. A model that needs more memory
than there is, or that crashes, takes nothing else with it.
"""

import gc
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from mmagic.registry import MODELS
from mmengine.registry import init_default_scope
from torch import nn

from cellgan_plugin.comparison.parts import EVALUATED, REQUEST
from cellgan_plugin.engine.training_cost import device_name, read_training_cost
from cellgan_plugin.files import atomic_write, write_json
from cellgan_plugin.models.sampling import draw_noise, sample_pixels
from cellgan_plugin.records import read_json
from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.runs.sampling import Sampling
from cellgan_plugin.runs.test import software, test
from cellgan_plugin.runs.trained_model import LoadedModel
from cellgan_plugin.user_modules import read_config

SAMPLES, EVALUATION = 'samples.json', 'evaluation.json'
IMAGES = 'samples.npz'
_BATCH = 32
_SECONDS = 2.0
# Not needed to sample: the evaluator of the training, and the average where it is counted already.
_NOT_SAMPLING = ('discriminator.', 'generator_ema.')


def sampling_parameters(model: nn.Module) -> int:
    """Number of parameters that sampling uses: the model without discriminator and average."""
    return sum(
        value.numel()
        for name, value in model.named_parameters()
        if not name.startswith(_NOT_SAMPLING)
    )


def trained_parameters(model: nn.Module) -> int:
    """Number of parameters that an optimizer changes."""
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def fixed_samples(sampling: Sampling, count: int) -> np.ndarray:
    """The images of the comparison's picture.

    Image i of every class, and of every model with the same ``noise_size``, has the same z.

    Args:
        sampling (Sampling): The model; its seed is that of the noise.
        count (int): Images per class.

    Returns:
        np.ndarray: uint8 RGB (num_classes, count, H, W, C).
    """
    model, classes = sampling.loaded.model, len(sampling.loaded.classes)
    noise = draw_noise(model.noise_size, sampling.seed, 'compare', [(i,) for i in range(count)])
    noise = noise.repeat(classes, 1)
    labels = torch.arange(classes).repeat_interleave(count)
    images = torch.cat(
        [
            sample_pixels(model, z, y, sampling.sample_model, sampling.sample_kwargs).cpu()
            for z, y in zip(noise.split(_BATCH), labels.split(_BATCH), strict=True)
        ]
    )
    images = images.permute(0, 2, 3, 1).numpy()
    return images.reshape(classes, count, *images.shape[1:])


def sampling_speed(sampling: Sampling) -> float:
    """Images per second, from noise to uint8 pixels on the CPU, in batches of 32.

    Whole batches for at least two seconds, after a first one that is not counted.
    """
    model = sampling.loaded.model
    noise = torch.randn(_BATCH, model.noise_size)
    labels = torch.arange(_BATCH) % len(sampling.loaded.classes)

    def batch() -> None:
        sample_pixels(model, noise, labels, sampling.sample_model, sampling.sample_kwargs).cpu()

    batch()
    batches, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < _SECONDS:
        batch()
        batches += 1
    return batches * _BATCH / seconds


def _sample(folder: Path, sampling: Sampling, request: Dict[str, Any]) -> Dict[str, Any]:
    images = fixed_samples(sampling, request['sampling']['samples_per_class'])
    with atomic_write(folder / IMAGES) as file:
        np.savez_compressed(file, images=images)
    return dict(
        settings=request['samples'],
        images_per_second=sampling_speed(sampling),
        batch_size=_BATCH,
        device=device_name(),
    )


def _parameters(folder: Path, stages: int, loaded: LoadedModel) -> Dict[str, int]:
    trained = trained_parameters(loaded.model)
    for number in range(stages - 1):
        init_default_scope('mmagic')
        model = MODELS.build(read_config(folder / f'stage_{number}.py').model)
        trained += trained_parameters(model)
    return dict(generator=sampling_parameters(loaded.model), trained=trained)


def evaluate(folder: Path) -> Dict[str, Any]:
    """Make the samples and the evaluation of a folder as far as they are not there.

    Args:
        folder (Path): See the module's docstring.

    Returns:
        dict: What is written to ``evaluated.json``.

    Raises:
        FileNotFoundError: The folder has no request, or the checkpoint is gone.
        ValueError: The checkpoint does not fit its config.
    """
    request = read_json(folder / REQUEST)
    if request is None:
        raise FileNotFoundError(f'{folder / REQUEST} does not exist; tools/compare.py writes it')
    checkpoint = Path(request['checkpoint'])
    asked = request['sampling']
    sampling = Sampling.settle(
        folder / 'config.py', checkpoint, sample_kwargs=asked['sample_kwargs'], precision='fp32',
        seed=asked['seed'],
    )  # fmt: skip
    loaded = sampling.loaded
    weights = dict(
        path=str(checkpoint),
        sha256=sampling.hashes['checkpoint_sha256'],
        iteration=loaded.iteration,
        classes=list(loaded.classes),
    )
    kept = {}
    for name, file in (('samples', SAMPLES), ('evaluation', EVALUATION)):
        found = read_json(folder / file)
        fits = found is not None and found['settings'] == request[name]
        kept[name] = found if fits and found['sha256'] == weights['sha256'] else None
    if kept['samples'] is None or not (folder / IMAGES).is_file():
        print(f'Sampling {checkpoint}', flush=True)
        kept['samples'] = _sample(folder, sampling, request)
        kept['samples'].update(
            sha256=weights['sha256'], parameters=_parameters(folder, request['stages'], loaded)
        )
        write_json(folder / SAMPLES, kept['samples'])
    del loaded.model
    gc.collect()
    torch.cuda.empty_cache()
    if kept['evaluation'] is None:
        reports = _evaluate(folder, checkpoint)
        kept['evaluation'] = dict(
            settings=request['evaluation'], sha256=weights['sha256'], reports=reports
        )
        write_json(folder / EVALUATION, kept['evaluation'])
    cost = read_training_cost(checkpoint)
    result = dict(
        settings=dict(evaluation=request['evaluation'], samples=request['samples']),
        checkpoint=weights,
        reports=kept['evaluation']['reports'],
        samples={k: kept['samples'][k] for k in ('images_per_second', 'batch_size', 'device')},
        parameters=kept['samples']['parameters'],
        cost=None if cost is None else cost.as_dict(),
        **software(),
        time=time.strftime('%Y-%m-%dT%H:%M:%S'),
    )
    write_json(folder / EVALUATED, result)
    return result


def _evaluate(folder: Path, checkpoint: Path) -> List[Dict[str, Any]]:
    reports = test(folder / 'config.py', checkpoint, work_dir=folder / 'evaluation', overwrite=True)
    if not reports:
        raise ValueError(f'{folder / "config.py"}: val_evaluator has no ClassDistances')
    return reports


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The program of the job."""
    parser = ToolParser(__doc__)
    parser.add_argument('folder', type=Path)
    args = parser.parse_args(argv)
    with user_errors():
        evaluate(args.folder)


if __name__ == '__main__':
    main()
