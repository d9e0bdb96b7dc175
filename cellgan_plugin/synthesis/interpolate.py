"""What lies between two images: a strip, a GIF and a film; ``tools/interpolate.py``."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.errors import SynthesisError, explained_output_errors
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.models.conditional_gan import ConditionalGAN
from cellgan_plugin.models.layers import class_weights
from cellgan_plugin.models.sampling import truncate_noise
from cellgan_plugin.records import FolderRecord
from cellgan_plugin.runs.image_sampler import GPU_BATCH_SIZE, ImageSampler, Progress, sample_many
from cellgan_plugin.runs.sampling import Sampling, synthesis_noise
from cellgan_plugin.synthesis.animation import side_by_side, write_gif, write_mp4
from cellgan_plugin.synthesis.request import check_seeds
from cellgan_plugin.visualization import image_grid

FORMATS = ('png', 'gif', 'mp4')
_STRIP_CELL = 128  # pixels; smaller images are enlarged

Key = Tuple[int, int]  # label, seed


def slerp(start: Tensor, end: Tensor, weight: float) -> Tensor:
    """Spherical interpolation: along the great circle, with the length changing evenly.

    A straight line between two normal vectors passes through vectors that are much shorter than
    those a generator was trained on.

    Args:
        start (Tensor): (size,), returned as it is for weight 0.
        end (Tensor): (size,), returned as it is for weight 1.
        weight (float): In [0, 1].
    """
    if weight in (0, 1):
        return end if weight else start
    a, b = start.double(), end.double()
    lengths = a.norm(), b.norm()
    a, b = a / lengths[0], b / lengths[1]
    angle = torch.arccos(torch.dot(a, b).clamp(-1, 1))
    if angle.sin() < 1e-6:  # the same direction, or opposite ones, which have no shortest way
        direction = (1 - weight) * a + weight * b
    else:
        direction = (((1 - weight) * angle).sin() * a + (weight * angle).sin() * b) / angle.sin()
    length = (1 - weight) * lengths[0] + weight * lengths[1]
    return (direction * length).to(start.dtype)


def key_images(
    classes: Sequence[str], seeds: Sequence[int], known: Sequence[str]
) -> List[Tuple[int, int]]:
    """The images that a path leads through, as (label, seed).

    Classes and seeds go in pairs; where one of them has a single entry, it holds for all.

    Raises:
        SynthesisError: Unknown class, lists that do not pair, fewer than two different images.
    """
    labels = []
    for spelling in classes:
        name = resolve_class(spelling, known)
        if name is None:
            raise SynthesisError(f'class {spelling!r}: the model knows {", ".join(known)}')
        labels.append(list(known).index(name))
    seeds = [check_seeds([seed])[0] for seed in seeds]
    count = max(len(labels), len(seeds))
    if not labels or not seeds or any(len(x) not in (1, count) for x in (labels, seeds)):
        raise SynthesisError(
            f'{len(labels)} classes and {len(seeds)} seeds: give as many of either, or one of one'
        )
    labels, seeds = (x * count if len(x) == 1 else x for x in (labels, seeds))
    keys = list(zip(labels, seeds, strict=True))
    if len(set(keys)) < 2:
        raise SynthesisError('a path needs two images: give two seeds, two classes, or both')
    return keys


def path_noise(
    noise_size: int, keys: Sequence[Key], steps: int, keep_noise: bool, truncation: Optional[float]
) -> Tensor:
    """Noise z of the frames of a path, ((len(keys) - 1) * steps + 1, noise_size).

    At the keys it is that of the synthesised images (with ``keep_noise`` that of the first one
    throughout).
    """
    ends = synthesis_noise(noise_size, [keys[0]] * len(keys) if keep_noise else keys)
    frames = [
        slerp(start, end, step / steps)
        for start, end in zip(ends, ends[1:], strict=False)
        for step in range(steps)
    ]
    frames.append(ends[-1])
    if truncation is not None:  # after the path, whose vectors are as long as normal ones
        frames = [truncate_noise(z, truncation) for z in frames]
    return torch.stack(frames)


def path_labels(keys: Sequence[Key], steps: int, num_classes: int) -> Tensor:
    """Labels of the frames of a path: (F,) int within a class, else weights (F, num_classes)."""
    labels = torch.tensor([label for label, _ in keys])
    if len(labels.unique()) == 1:
        return labels[:1].repeat((len(keys) - 1) * steps + 1)
    ends = class_weights(labels, num_classes)
    frames = [
        torch.lerp(start, end, step / steps)
        for start, end in zip(ends, ends[1:], strict=False)
        for step in range(steps)
    ]
    return torch.stack([*frames, ends[-1]])


def check_mixes_classes(sampler: ImageSampler, noise: Tensor, labels: Tensor) -> None:
    """SynthesisError unless the model takes class weights and reads a whole class as its label.

    Args:
        sampler (ImageSampler): With the model.
        noise (Tensor): (1, noise_size).
        labels (Tensor): Class weights of a path (F, num_classes).
    """
    name = type(sampler.model).__name__
    refusal = (
        f'{name} takes whole class labels only: there is nothing between two classes. '
        'Interpolate within a class: one class and several seeds'
    )
    if not isinstance(sampler.model, ConditionalGAN):  # MMagic's own drop what is no label
        raise SynthesisError(refusal)
    with sampler.session(), sampler.worker():
        for label in labels[labels.max(dim=1).values == 1].argmax(dim=1).unique():
            expected = sampler(noise, label[None])[0]
            weights = class_weights(label[None], labels.shape[1])
            try:
                found = sampler(noise, weights)[0]
            except (IndexError, RuntimeError, TypeError, ValueError) as error:
                raise SynthesisError(f'{refusal} ({error})') from error
            if np.abs(found.astype(int) - expected).max() > 1:
                raise SynthesisError(refusal)


@writes_folder('out', deep=True)
def interpolate(
    config: Union[str, Path, Config],
    checkpoint: Optional[Union[str, Path]],
    out: Union[str, Path],
    classes: Sequence[str],
    seeds: Sequence[int],
    steps: int = 24,
    strip_steps: int = 4,
    rows: int = 1,
    keep_noise: bool = False,
    fps: float = 12,
    formats: Sequence[str] = FORMATS,
    truncation: Optional[float] = None,
    sample_model: Optional[str] = None,
    sample_kwargs: Optional[dict] = None,
    device: Optional[str] = None,
    precision: str = 'auto',
    batch_size: int = GPU_BATCH_SIZE,
    options: Optional[dict] = None,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Draw the images on the way from one image to the next.

    The path leads through the images that
    :func:`~cellgan_plugin.synthesis.synthesize.synthesize` makes of these classes and seeds:
    spherically in z, and evenly in the weights of the classes where the class changes. Writes
    ``strip.png``, ``interpolation.gif``, ``interpolation.mp4`` (there
    and back) and ``interpolation.json``.

    Args:
        config (str | Path | Config): The run that the model comes from, or the name of a shipped
            model.
        checkpoint (str | Path, optional): A file, or a work directory; None for a shipped model.
        out (str | Path): A new folder, or that of the same call.
        classes (Sequence[str]): See :func:`key_images`.
        seeds (Sequence[int]): See :func:`key_images`.
        steps (int): Frames from one image to the next. Defaults to 24.
        strip_steps (int): Pictures on the strip from one image to the next. Defaults to 4.
        rows (int): Paths: row i takes the seeds plus i. Defaults to 1.
        keep_noise (bool): The first image's z all the way, so that only the class changes.
            Defaults to False.
        fps (float): Frames a second. Defaults to 12.
        formats (Sequence[str]): Of 'png', 'gif', 'mp4'.
        truncation (float, optional): See ``synthesize``, as all that follows.
        sample_model (str, optional): 'ema' or 'orig'.
        sample_kwargs (dict, optional): For the model's generator.
        device (str, optional): Defaults to None: a GPU where there is one.
        precision (str): Defaults to 'auto'.
        batch_size (int): Images per call on a GPU.
        options (dict, optional): Overrides of the config.
        overwrite (bool): Delete what ``out`` holds where it was made from something else. Defaults
            to False.

    Returns:
        dict: ``files`` (list of str), ``images`` (uint8 array (rows, frames, H, W, C)) and
        ``protocol``.

    Raises:
        SynthesisError: Between classes, when the model takes whole labels only; and for settings
            that cannot be.
        OutputError: No room or no permission.
        RecordError: A folder of something else.
    """
    out = Path(out).expanduser()
    if steps < 1 or rows < 1 or not 1 <= strip_steps <= steps or not fps > 0:
        raise SynthesisError('steps, rows and fps must be positive, strip_steps from 1 to steps')
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise SynthesisError(f'formats {list(formats)}: choose of {", ".join(FORMATS)}')
    sampling = Sampling.settle(
        config, checkpoint, device, truncation, sample_model, sample_kwargs, precision, batch_size,
        options=options,
    )  # fmt: skip
    loaded = sampling.loaded
    keys = key_images(classes, seeds, loaded.classes)
    if keep_noise and len({label for label, _ in keys}) == 1:
        raise SynthesisError('keep_noise leaves nothing to change within one class')
    protocol = dict(
        sampling.settings,
        classes=list(loaded.classes),
        keys=[dict(label=loaded.classes[label], seed=seed) for label, seed in keys],
        steps=steps,
        strip_steps=strip_steps,
        fps=fps,
        formats=sorted(formats),
        rows=rows,
        keep_noise=keep_noise,
        **sampling.hashes,
    )
    record = FolderRecord(out, 'interpolation.json')
    record.check(protocol, overwrite=overwrite)
    size = loaded.model.noise_size
    noise = []
    for row in range(rows):
        row_keys = [(label, seed + row) for label, seed in keys]
        noise.append(path_noise(size, row_keys, steps, keep_noise, truncation))
    labels = path_labels(keys, steps, len(loaded.classes))
    sampler = sampling.sampler()
    if labels.ndim == 2:
        check_mixes_classes(sampler, noise[0][:1], labels)

    def inputs_of(frames: Sequence[Tuple[int, int]]) -> Tuple[Tensor, Tensor]:
        z = torch.stack([noise[row][frame] for row, frame in frames])
        return z, labels[[frame for _, frame in frames]]

    wanted = [(row, frame) for row in range(rows) for frame in range(len(labels))]
    if 'gif' not in formats and 'mp4' not in formats:
        shown = set(_strip_frames(len(keys), steps, strip_steps))
        wanted = [(row, frame) for row, frame in wanted if frame in shown]
    found: Dict[Tuple[int, int], np.ndarray] = {}
    progress = Progress(len(wanted), 'Interpolating')
    try:
        sample_many(sampler, wanted, inputs_of, found.__setitem__, progress=progress)
    finally:
        progress.close()
    frames = sorted({frame for _, frame in wanted})
    images = np.stack([np.stack([found[row, f] for f in frames]) for row in range(rows)])
    positions = {frame: index for index, frame in enumerate(frames)}
    strip = [positions[f] for f in _strip_frames(len(keys), steps, strip_steps)]
    titles = [loaded.classes[keys[i // strip_steps][0]] if i % strip_steps == 0 else ''
              for i in range(len(strip))]  # fmt: skip
    with explained_output_errors(out):
        record.write(protocol)
        files = _write(out, images, strip, titles, keys, formats, fps)
    print_log('Written: ' + ', '.join(map(str, files)))
    return dict(files=[str(file) for file in files], images=images, protocol=protocol)


def _strip_frames(keys: int, steps: int, strip_steps: int) -> List[int]:
    """Frames of the strip; those of the keys are among them."""
    within = [round(step * steps / strip_steps) for step in range(strip_steps)]
    starts = range(0, (keys - 1) * steps, steps)
    return [start + step for start in starts for step in within] + [(keys - 1) * steps]


def _write(
    out: Path,
    images: np.ndarray,
    strip: Sequence[int],
    titles: Sequence[str],
    keys: Sequence[Key],
    formats: Sequence[str],
    fps: float,
) -> List[Path]:
    files = []
    if 'png' in formats:
        rows = [[row[frame] for frame in strip] for row in images]
        # The class is told above; which images a row leads through, beside it.
        seeds = list(dict.fromkeys(seed for _, seed in keys))
        names = ['seed ' + ', '.join(str(seed + row) for seed in seeds) for row in range(len(rows))]
        scale = max(1, _STRIP_CELL // images.shape[2])
        sheet = image_grid(rows, row_titles=names, column_titles=titles, scale=scale)
        write_png(out / 'strip.png', sheet)
        files.append(out / 'strip.png')
    film = [side_by_side(images[:, frame]) for frame in range(images.shape[1])]
    film += film[-2:0:-1]  # and back, so that it can be watched without end
    out.mkdir(parents=True, exist_ok=True)
    if 'gif' in formats:
        files.append(write_gif(out / 'interpolation.gif', film, fps))
    if 'mp4' in formats:
        files.append(write_mp4(out / 'interpolation.mp4', film, fps))
    return files
