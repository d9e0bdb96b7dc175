"""Look at one slide: its scale, and which patches it gives. Runs in a process of its own."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from cellgan_plugin.converters.slides.annotation import Annotation, fault_of
from cellgan_plugin.converters.slides.masks import Rings, plan_masks
from cellgan_plugin.converters.slides.oriented import Turn, plan_oriented
from cellgan_plugin.converters.slides.plan import PlannedPatch, plan_annotations, plan_tissue
from cellgan_plugin.converters.slides.readers import (
    SlideError,
    SlideInfo,
    SlideReader,
    need,
    slide_digest,
)
from cellgan_plugin.converters.slides.settings import (
    Field,
    PatchSettings,
    Scale,
    field_of,
    scale_of,
)
from cellgan_plugin.datasets.image_encoding import write_image
from cellgan_plugin.records import digest_of

UNLABELLED = 'unlabelled'


class InspectTask(NamedTuple):
    """One slide to look at.

    Attributes:
        slide (str): Its name.
        path (str): Its file.
        settings (PatchSettings): What is asked for.
        annotations (tuple[Annotation, ...] | None): None: tissue is found.
        label (str): Class of tissue.
        mpp (float | None): Microns per pixel by the table of slides.
        overview (str): Where the map of the tissue is written.
    """

    slide: str
    path: str
    settings: PatchSettings
    annotations: Optional[Tuple[Annotation, ...]]
    label: str
    mpp: Optional[float]
    overview: str


@dataclass
class Inspected:
    """What a slide gives, or why it gives nothing.

    Attributes:
        slide (str): Its name.
        error (str): It cannot be read.
        no_scale (str): Nobody says its scale.
        info (SlideInfo | None): What it says of itself.
        scale (Scale | None): Microns per level-0 pixel.
        shown (Field | None): What a patch shows.
        patches (list[PlannedPatch]): In reading order.
        faults (list[str]): Annotations that cannot be used.
        counts (Counter): What became of annotations and tiles.
        ink (list[tuple[int, int]]): Corners of tiles under ink, level-0 px.
        overview (str): File of the map of the tissue; '' where none was looked for.
        digest (str): Of the file.
        masks (list[tuple[Rings, ...]] | None): Objects of every patch, where masks are asked for.
        turns (list[Turn] | None): How every patch is turned, of oriented ones.
    """

    slide: str
    error: str = ''
    no_scale: str = ''
    info: Optional[SlideInfo] = None
    scale: Optional[Scale] = None
    shown: Optional[Field] = None
    patches: List[PlannedPatch] = field(default_factory=list)
    faults: List[str] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    ink: List[Tuple[int, int]] = field(default_factory=list)
    overview: str = ''
    digest: str = ''
    masks: Optional[List[Tuple[Rings, ...]]] = None
    turns: Optional[List[Turn]] = None

    @property
    def file_stem(self) -> str:
        """The slide's name as part of file names; two slides never have the same."""
        stem = re.sub(r'[^\w.+-]', '_', self.slide).lstrip('.-')
        return stem if stem == self.slide else f'{stem}-{digest_of(self.slide)[:8]}'


def inspect_slide(task: InspectTask) -> Inspected:
    """Open a slide and plan its patches; what is wrong with it is said, not raised."""
    found = Inspected(task.slide)
    try:
        with SlideReader(task.path) as reader:
            found.info = reader.info
            found.digest = slide_digest(Path(task.path))
            try:
                found.scale = scale_of(reader.info, task.mpp, task.settings.assume_mpp)
            except SlideError as error:
                found.no_scale = str(error)
                return found
            found.shown = field_of(reader.info, found.scale, task.settings)
            if task.annotations is None:
                _plan_tissue(found, reader, task)
            else:
                _plan_annotations(found, reader, task)
    except (SlideError, OSError) as error:
        found.error = str(error)
    return found


def _plan_tissue(found: Inspected, reader: SlideReader, task: InspectTask) -> None:
    plan = plan_tissue(reader, task.label, found.shown, task.settings)
    found.patches, found.counts, found.ink = plan.patches, plan.counts, plan.ink
    if not plan.patches:
        found.counts['slides without tissue'] += 1
    found.overview = task.overview
    write_image(task.overview, plan.tissue.image)


def _plan_annotations(found: Inspected, reader: SlideReader, task: InspectTask) -> None:
    usable, moved = [], 0
    for annotation in task.annotations:
        moved += annotation.from_origin and found.info.origin != (0, 0)
        annotation = _in_pixels(annotation, found.scale, found.info)
        fault = fault_of(annotation, found.info)
        if fault:
            found.faults.append(f'{annotation.where} {fault}')
        else:
            usable.append(annotation)
    if task.settings.masks:
        plan, found.masks = plan_masks(usable, found.info, found.shown, task.settings)
    elif task.settings.oriented:
        plan, found.turns = plan_oriented(reader, usable, found.shown, task.settings)
    else:
        plan = plan_annotations(usable, found.info, found.shown, task.settings)
    found.patches, found.counts = plan.patches, plan.counts
    found.counts['annotations of QuPath, counted from the corner of the scanned area'] += moved
    found.faults += [f'one place has two classes: {fault}' for fault in plan.faults]
    found.counts['annotations that cannot be used, left out'] += len(found.faults)


def _in_pixels(annotation: Annotation, scale: Scale, info: SlideInfo) -> Annotation:
    """The annotation in level-0 px from the corner of level 0."""
    factor = (1 / scale.x, 1 / scale.y) if annotation.micrometres else (1, 1)
    shift = info.origin if annotation.from_origin else (0, 0)
    if factor == (1, 1) and shift == (0, 0):
        return annotation
    shapely = need('shapely', 'annotations')

    def to_pixels(points: np.ndarray) -> np.ndarray:
        return points * factor + shift

    shape = shapely.transform(annotation.shape, to_pixels)
    return replace(annotation, shape=shape, micrometres=False, from_origin=False)
