"""Read patches from slides, bring them to scale, write them; in many processes."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cellgan_plugin.converters.fitting import scale_image
from cellgan_plugin.converters.slides.masks import Rings, draw_mask
from cellgan_plugin.converters.slides.oriented import Turn, read_turned
from cellgan_plugin.converters.slides.readers import SlideError, SlideReader
from cellgan_plugin.converters.slides.settings import Field
from cellgan_plugin.converters.slides.tissue import sharpness
from cellgan_plugin.datasets.image_encoding import write_image, write_png

CHUNK = 64  # patches of one task
_open: Dict[str, SlideReader] = {}  # of this process: one slide, for tasks come slide by slide


class Place(NamedTuple):
    """One patch to write.

    Attributes:
        x (int): Left edge, px of the level that is read.
        y (int): Upper edge, likewise.
        out_dir (str): Folder of the conversion.
        file (str): Image, relative to it.
        mask (str): Mask, relative to it; '' for none.
        objects (tuple[Rings, ...]): Of the mask.
        turn (Turn | None): Of an oriented patch.
    """

    x: int
    y: int
    out_dir: str
    file: str
    mask: str = ''
    objects: Tuple[Rings, ...] = ()
    turn: Optional[Turn] = None


class CutTask(NamedTuple):
    """Neighbouring patches of one slide.

    Attributes:
        slide (str): Its name.
        path (str): Its file.
        field (Field): What is read.
        area (tuple[int, int]): Height and width of the patches, px.
        focus (float): Least sharpness; 0 keeps all.
        places (tuple[Place, ...]): In reading order.
    """

    slide: str
    path: str
    field: Field
    area: Tuple[int, int]
    focus: float
    places: Tuple[Place, ...]


class CutResult(NamedTuple):
    """What became of a task.

    Attributes:
        slide (str): Of the task.
        blurred (list[str]): Files that were not written, being out of focus.
        error (str): Why the slide could not be read, else ''.
    """

    slide: str
    blurred: List[str]
    error: str


def read_patch(
    reader: SlideReader, field: Field, area: Tuple[int, int], x: int, y: int
) -> np.ndarray:
    """One patch at the asked scale, uint8 RGB of ``area`` (height, width).

    ``x`` and ``y`` are its upper left corner, px of the level that ``field`` names.
    """
    return scale_image(reader.read(field.level, x, y, *field.read), *area)


def cut(task: CutTask) -> CutResult:
    """Write the patches of a task; a slide that cannot be read is said, not raised."""
    blurred: List[str] = []
    try:
        reader = _reader(task.path)
        for place in task.places:
            if place.turn is None:
                image = read_patch(reader, task.field, task.area, place.x, place.y)
            else:
                image = read_turned(reader, task.field, task.area, place.turn)
            if task.focus and sharpness(image) < task.focus:
                blurred.append(place.file)
                continue
            if place.mask:
                # Before its image: what is there is whole.
                mask = draw_mask(place.objects, task.area)
                write_png(Path(place.out_dir, place.mask), mask)
            write_image(Path(place.out_dir, place.file), image)
    except SlideError as error:
        close_slides()  # a library's handle is unusable after an error
        return CutResult(task.slide, blurred, str(error))
    return CutResult(task.slide, blurred, '')


def _reader(path: str) -> SlideReader:
    if path not in _open:
        close_slides()
        _open[path] = SlideReader(path)
    return _open[path]


def close_slides() -> None:
    """Close what this process holds open."""
    for reader in _open.values():
        reader.close()
    _open.clear()


def make_tasks(
    slide: str,
    path: Path,
    field: Field,
    area: Tuple[int, int],
    focus: float,
    places: Sequence[Place],
) -> List[CutTask]:
    """Tasks of neighbouring patches, ``places`` in reading order."""
    return [
        CutTask(slide, str(path), field, area, focus, tuple(places[start : start + CHUNK]))
        for start in range(0, len(places), CHUNK)
    ]
