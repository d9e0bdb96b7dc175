"""A picture of each slide: which tiles were cut, and which were left out for what."""

from typing import Collection, Mapping, Sequence

import cv2
import numpy as np

from cellgan_plugin.converters.slides.inspect import Inspected
from cellgan_plugin.converters.slides.tissue import TILE_PX
from cellgan_plugin.datasets.image_encoding import write_image
from cellgan_plugin.datasets.image_io import load_image

CUT, BLURRED, INK = (0, 140, 60), (240, 140, 0), (60, 60, 220)  # RGB of the frames
_MAX_SIDE = 2400


def draw_overview(
    one: Inspected, rows: Sequence[Mapping[str, object]], blurred: Collection[str]
) -> None:
    """Draw frames onto the map of a slide: green cut, orange out of focus, blue under ink.

    The map is overwritten; ``blurred`` are the files of ``rows`` that were left out.
    """
    # The map is one's own; a scale below 1 keeps a picture that can be opened.
    image = load_image(one.overview, max_pixels=10**9)
    scale = min(1.0, _MAX_SIDE / max(image.shape))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(image)
    side = np.array((one.shown.width, one.shown.height))
    step = np.maximum(side / TILE_PX, 1) / scale

    def frame(left: float, top: float, colour: Sequence[int]) -> None:
        first = np.rint(np.array((left, top)) / step).astype(int)
        last = np.rint((np.array((left, top)) + side) / step).astype(int) - 1
        cv2.rectangle(image, first.tolist(), last.tolist(), colour, 1)

    for left, top in one.ink:
        frame(left, top, INK)
    for row in rows:
        frame(row['x'], row['y'], BLURRED if row['file'] in blurred else CUT)
    write_image(one.overview, image)
