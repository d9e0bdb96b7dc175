"""Masks that images are made of: listed, relabelled, at the model's resolution, in batches."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import print_log
from torch import nn

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.whole_images import (
    MaskMeaning,
    WholeImage,
    files_by_name,
    list_whole_images,
    look_at_masks,
    mask_at,
)
from cellgan_plugin.errors import SynthesisError


class Source(NamedTuple):
    """One mask at the model's resolution.

    Attributes:
        image (WholeImage): Where it comes from.
        plain (np.ndarray): uint8 class ids (H, W).
        mask (np.ndarray): The same with other classes where ``relabel`` says so.
    """

    image: WholeImage
    plain: np.ndarray
    mask: np.ndarray


def relabelled_ids(relabel: Mapping[str, str], classes: Sequence[str]) -> Dict[int, int]:
    """Id of a class -> id of what it becomes; SynthesisError for names that are not known."""
    changes: Dict[int, int] = {}
    for pair in relabel.items():
        names = [resolve_class(name, classes) for name in pair]
        for name, known in zip(pair, names, strict=True):
            if known is None:
                raise SynthesisError(f'relabel: {name!r} is none of the classes {list(classes)}')
        before, after = (classes.index(name) for name in names)
        if changes.setdefault(before, after) != after:
            raise SynthesisError(
                f'relabel: class {names[0]!r} would become {classes[changes[before]]!r} and '
                f'{names[1]!r}; say it once'
            )
    return changes


def list_masks(
    masks: Union[str, Path],
    split: Optional[Union[str, Sequence[str]]],
    mask_class: Optional[str],
    label_column: str,
) -> List[WholeImage]:
    """The masks of a folder or, with their images, of a manifest; SynthesisError for none."""
    masks = Path(masks)
    if masks.suffix.lower() == '.csv' or split is not None:
        listed = list_whole_images(masks, split, label_column=label_column)
        listed = [image for image in listed if image.mask is not None]
        if not listed:
            raise SynthesisError(f'{masks} lists no masks{f" of split {split}" if split else ""}')
    else:
        listed = [WholeImage(name, path, path) for name, path in files_by_name(masks).items()]
        look_at_masks(listed)
    if mask_class is not None:
        listed = [replace(image, label=mask_class) for image in listed]
    return listed


def warn_of_foreign_masks(listed: Sequence[WholeImage], trained: Any) -> None:
    """Images of a test set's masks are easily a leak: in their manifest all rows say ``train``."""
    own = {trained} if isinstance(trained, str) else set(trained or ())
    foreign = sorted({image.split for image in listed if image.split} - own)
    if own and foreign:
        print_log(
            f'masks of split {foreign}, not of {sorted(own)} that the model was trained on: a '
            'segmenter trained on these images has seen the masks of that split, so do not test it '
            'there (column source_split)',
            'current',
            logging.WARNING,
        )


def mask_sources(
    listed: Sequence[WholeImage],
    meaning: MaskMeaning,
    scale: float,
    model: nn.Module,
    changes: Mapping[int, int],
) -> Iterator[Source]:
    """Masks at the model's resolution, cut to sides that it can make."""
    unit = model.mask_unit()
    for image in listed:
        semantic, _ = meaning.read(image)
        plain = mask_at(semantic, scale, unit, image.mask)
        changed = plain.copy()
        for old, new in changes.items():
            changed[plain == old] = new
        yield Source(image, plain, changed)


def mask_batches(
    sources: Iterator[Source], per_mask: int, batch_size: int
) -> Iterator[List[Tuple[Source, int]]]:
    """(mask, number of the image) in batches of masks of one size."""
    batch: List[Tuple[Source, int]] = []
    for source in sources:
        if batch and batch[0][0].mask.shape != source.mask.shape:
            yield batch
            batch = []
        for number in range(per_mask):
            batch.append((source, number))
            if len(batch) == batch_size:
                yield batch
                batch = []
    if batch:
        yield batch
