"""Where a generator's self-attention looks, drawn over its images (HistoGAN, Fig. 9)."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Union

import cv2
import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.files import atomic_write
from cellgan_plugin.models import draw_noise
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.models.layers import evaluating
from cellgan_plugin.models.sampling import default_sample_model
from cellgan_plugin.runs.sampling import Sampling
from cellgan_plugin.runs.trained_model import LoadedModel
from cellgan_plugin.visualization import image_grid


@dataclass
class AttentionMaps:
    """Generated images and where their self-attention layer looked.

    Attributes:
        images (np.ndarray): uint8 (N, H, W, 3), RGB.
        attention (np.ndarray): float32 (N, h, w), h and w those of the attention layer. Attention
            that a position receives: the mean of alpha over all positions that look (Eq. (2)),
            times the number of positions. 1 is an equal share; the mean of a map is 1.
        labels (np.ndarray): int64 (N,).
        seeds (np.ndarray): int64 (N,).
        gamma (float): Weight of the attention layer's output in the sum with its input: near 0 the
            map changes nothing in the image.
    """

    images: np.ndarray
    attention: np.ndarray
    labels: np.ndarray
    seeds: np.ndarray
    gamma: float


def received_attention(alpha: Tensor, height: int, width: int) -> Tensor:
    """How much a position is looked at, 1 for an equal share.

    Args:
        alpha (Tensor): Attention map (N, height * width, keys); rows sum to 1.
        height (int): Of the map that looks.
        width (int): Likewise. Where keys were pooled, ``height * width / keys`` is a square number.

    Returns:
        Tensor: float32 (N, h, w), h * w = keys.
    """
    pool = round((height * width / alpha.shape[2]) ** 0.5)
    received = alpha.float().mean(dim=1) * alpha.shape[2]
    return received.view(-1, height // pool, width // pool)


@torch.no_grad()
def attention_maps(
    model: nn.Module,
    labels: Sequence[int],
    seeds: Sequence[int],
    sample_model: Optional[str] = None,
    batch_size: int = 16,
) -> AttentionMaps:
    """Generate one image per pair of label and seed, with its attention.

    Args:
        model (nn.Module): :class:`HistoGAN`.
        labels (Sequence[int]): Class of each image.
        seeds (Sequence[int]): Seed of each image's z; a seed means the same z in every class.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where there is one.
        batch_size (int): Images generated at once. Defaults to 16.

    Returns:
        AttentionMaps: In the order given.

    Raises:
        ValueError: The model's generator has no attention map to show.
    """
    model = unwrap(model)
    averaged = (sample_model or default_sample_model(model)) == 'ema'
    generator = model.generator_ema.module if averaged else unwrap(model.generator)
    layer = getattr(getattr(generator, 'first', None), 'attention', None)
    if layer is None:
        raise ValueError(
            f'{type(generator).__name__} shows no attention map: give a HistoGAN (configs/histogan)'
        )
    noise = torch.cat([draw_noise(model.noise_size, seed, 'attention', [()]) for seed in seeds])
    images, maps = [], []
    with evaluating(generator):
        for start in range(0, len(noise), batch_size):
            batch = slice(start, start + batch_size)
            made = generator(
                noise[batch].to(model.device),
                label=torch.as_tensor(labels[batch], device=model.device),
                return_attention=True,
            )
            images.append(to_uint8(made['fake_img']).cpu())
            maps.append(received_attention(made['attention'], *generator.stage_sizes[0]).cpu())
    pixels = torch.cat(images)
    pixels = pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels
    return AttentionMaps(
        pixels.permute(0, 2, 3, 1).numpy(),
        torch.cat(maps).numpy(),
        np.asarray(labels, dtype=np.int64),
        np.asarray(seeds, dtype=np.int64),
        float(layer.gamma),
    )


def overlay(image: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """Lay a map over an image, half and half, as colours from blue (not looked at) to red (most).

    Args:
        image (np.ndarray): uint8 (H, W, 3), RGB.
        attention (np.ndarray): (h, w), 1 for an equal share. Red is its maximum, but at least 2, so
            that a map without preferences is green all over.

    Returns:
        np.ndarray: uint8 (H, W, 3), RGB.
    """
    height, width = image.shape[:2]
    enlarged = cv2.resize(attention, (width, height), interpolation=cv2.INTER_LINEAR)
    levels = np.round(255 * enlarged / max(float(attention.max()), 2.0)).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return cv2.addWeighted(image, 0.5, colours, 0.5, 0)


def draw_attention(maps: AttentionMaps, classes: Sequence[str]) -> np.ndarray:
    """Two rows per class, images and overlays, as Fig. 9; a column per seed.

    Every overlay has the scale of :func:`overlay`.

    Args:
        maps (AttentionMaps): Every class with the same seeds in the same order.
        classes (Sequence[str]): Class names in the order of the labels.

    Returns:
        np.ndarray: uint8 RGB.
    """
    rows: List[List[np.ndarray]] = []
    titles = []
    for label in dict.fromkeys(maps.labels.tolist()):
        chosen = np.flatnonzero(maps.labels == label)
        rows.append([maps.images[i] for i in chosen])
        rows.append([overlay(maps.images[i], maps.attention[i]) for i in chosen])
        titles += [classes[label], 'attention']
        seeds = maps.seeds[chosen]
    sheet = image_grid(rows, titles, [f'seed {seed}' for seed in seeds])
    return with_colour_bar(sheet, max(float(maps.attention.max()), 2.0))


def with_colour_bar(sheet: np.ndarray, largest: float) -> np.ndarray:
    """A sheet with the colours of :func:`overlay` explained below it.

    Every overlay goes from 0 to its own maximum, at least 2: the ends of the bar say so.

    Args:
        sheet (np.ndarray): uint8 (H, W, 3), RGB.
        largest (float): The highest maximum of the maps.

    Returns:
        np.ndarray: uint8 (H + h, max(W, w), 3): the whole sheet above, the bar and its text below.
    """
    font = ImageFont.load_default(14)
    ends = ('0: not looked at', f"each map's own maximum, at least 2 (highest here: {largest:.1f})")
    widths = [int(np.ceil(font.getlength(text))) for text in ends]
    bar = np.linspace(0, 255, 200).round().astype(np.uint8)[None].repeat(14, axis=0)
    bar = cv2.cvtColor(cv2.applyColorMap(bar, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    note = 'attention received, in equal shares (1: as much as every place would get)'
    need = max(widths[0] + widths[1] + 200 + 32, int(np.ceil(font.getlength(note))) + 16)
    width = max(sheet.shape[1], need)
    canvas = np.full((sheet.shape[0] + 52, width, 3), 255, np.uint8)
    canvas[: sheet.shape[0], : sheet.shape[1]] = sheet
    top, left = sheet.shape[0] + 8, 8 + widths[0] + 8
    canvas[top : top + 14, left : left + 200] = bar
    image = Image.fromarray(canvas)
    draw = ImageDraw.Draw(image)
    draw.text((8, top - 2), ends[0], fill=(0, 0, 0), font=font)
    draw.text((left + 208, top - 2), ends[1], fill=(0, 0, 0), font=font)
    draw.text((8, top + 20), note, fill=(0, 0, 0), font=font)
    return np.array(image)


def write_attention_maps(
    config: Union[str, Path, Config],
    checkpoint: Union[str, Path],
    out: Union[str, Path],
    classes: Optional[Sequence[str]] = None,
    seeds: Sequence[int] = tuple(range(8)),
    arrays: Optional[Union[str, Path]] = None,
    sample_model: Optional[str] = None,
    device: Optional[str] = None,
    options: Optional[dict] = None,
) -> AttentionMaps:
    """Draw the attention of a trained model.

    Args:
        config (str | Path | Config): The run.
        checkpoint (str | Path): A file, or a work directory.
        out (str | Path): PNG to write.
        classes (Sequence[str], optional): Names. Defaults to None: all.
        seeds (Sequence[int]): One column each. Defaults to 0 to 7.
        arrays (str | Path, optional): NPZ to write, with the fields of :class:`AttentionMaps` and
            ``classes``. Defaults to None.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where there is one.
        device (str, optional): Defaults to None: a GPU where there is one.
        options (dict, optional): Overrides of the config. Defaults to None.

    Returns:
        AttentionMaps: What was drawn.

    Raises:
        FileNotFoundError: No such config or checkpoint.
        ValueError: An unknown class, no seed, or a model without attention.
    """
    if not seeds:
        raise ValueError('no seed given: name at least one')
    sampling = Sampling.settle(
        config, checkpoint, device, sample_model=sample_model, precision='fp32', options=options
    )
    loaded = sampling.loaded
    chosen = [_label_of(name, loaded) for name in classes or loaded.classes]
    labels = [label for label in chosen for _ in seeds]
    maps = attention_maps(loaded.model, labels, list(seeds) * len(chosen), sampling.sample_model)
    write_png(out, draw_attention(maps, loaded.classes))
    if arrays is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, classes=np.array(loaded.classes), **vars(maps))
        with atomic_write(arrays) as file:
            file.write(buffer.getvalue())
    return maps


def _label_of(name: str, loaded: LoadedModel) -> int:
    found = resolve_class(name, loaded.classes)
    if found is None:
        raise ValueError(
            f'class {name!r} is none of those of the checkpoint: {", ".join(loaded.classes)}'
        )
    return loaded.classes.index(found)
