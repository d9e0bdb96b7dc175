"""DICOM slides through ``wsidicom``, with the calls and properties of OpenSlide."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from pydicom import dcmread
from wsidicom import WsiDicom

_SERIES = 'SeriesInstanceUID'


class DicomSlide:
    """One open series.

    Args:
        path (str): Any file of the series; the others lie beside it.

    Attributes:
        level_dimensions (tuple[tuple[int, int], ...]): Width and height of every level, px.
        level_downsamples (tuple[float, ...]): Level-0 px per px of every level.
        properties (dict[str, str]): Scale, objective and vendor, named as OpenSlide's are.
    """

    def __init__(self, path: str):
        self._slide = WsiDicom.open(_files_of_series(Path(path)))
        self._levels = sorted(self._slide.pyramid, key=lambda level: level.level)
        self.level_dimensions = tuple((lv.size.width, lv.size.height) for lv in self._levels)
        width, height = self.level_dimensions[0]
        self.level_downsamples = tuple(
            (width / w + height / h) / 2 for w, h in self.level_dimensions
        )
        mpp = self._levels[0].mpp
        self.properties: Dict[str, str] = {
            'wsidicom.vendor': 'dicom',
            'wsidicom.mpp-x': str(mpp.width),
            'wsidicom.mpp-y': str(mpp.height),
        }
        power = self._objective()
        if power:
            self.properties['wsidicom.objective-power'] = str(power)

    def _objective(self) -> Optional[float]:
        objectives = (path.objective for path in self._slide.metadata.pyramid.optical_paths)
        return next((one.objective_power for one in objectives if one is not None), None)

    def read_region(
        self, location: Tuple[int, int], level: int, size: Tuple[int, int]
    ) -> np.ndarray:
        """Read a region; what lies beyond the slide is white.

        Args:
            location (tuple[int, int]): Upper left corner, level-0 px.
            level (int): Place in :attr:`level_dimensions`.
            size (tuple[int, int]): Width and height, px of the level.

        Returns:
            np.ndarray: uint8 (height, width, 3), RGB.
        """
        first = [round(place / self.level_downsamples[level]) for place in location]
        limits = self.level_dimensions[level]
        start = [min(max(place, 0), limit) for place, limit in zip(first, limits, strict=True)]
        stop = [
            min(max(place + side, 0), limit)
            for place, side, limit in zip(first, size, limits, strict=True)
        ]
        image = np.full((size[1], size[0], 3), 255, np.uint8)
        if stop[0] > start[0] and stop[1] > start[1]:
            extent = (stop[0] - start[0], stop[1] - start[1])
            part = self._slide.read_region(tuple(start), self._levels[level].level, extent)
            left, top = start[0] - first[0], start[1] - first[1]
            image[top : top + extent[1], left : left + extent[0]] = np.asarray(part.convert('RGB'))
        return image

    def close(self) -> None:
        """Close the files."""
        self._slide.close()


def _files_of_series(path: Path) -> List[Path]:
    wanted = _series_of(path)
    beside = (file for file in sorted(path.parent.iterdir()) if file.suffix.lower() == '.dcm')
    return [file for file in beside if _series_of(file) == wanted]


def _series_of(path: Path) -> Any:
    return dcmread(path, stop_before_pixels=True, specific_tags=[_SERIES]).get(_SERIES)
