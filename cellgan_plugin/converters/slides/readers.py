"""One interface to whole-slide images, whichever library reads them.

OpenSlide (``openslide-python`` with ``openslide-bin``) reads SVS, NDPI, MRXS, SCN, BIF, VMS, DICOM
and tiled TIFF; ``tiffslide`` those of them that are TIFF; ``wsidicom`` DICOM. All have the same
calls, see :mod:`~cellgan_plugin.converters.slides.dicom_slide`.
"""

import hashlib
import html
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from cellgan_plugin.converters.common import ConverterError, PathLike, some_of
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.files import is_hidden

SLIDE_EXTENSIONS = (
    '.svs', '.ndpi', '.mrxs', '.scn', '.bif', '.tif', '.tiff', '.vms', '.vmu', '.svslide', '.dcm',
)  # fmt: skip
# Module, class, prefix of its property names; the first that opens a slide reads it.
_LIBRARIES = (('openslide', 'OpenSlide', 'openslide'), ('tiffslide', 'TiffSlide', 'tiffslide'))
_DICOM = ('cellgan_plugin.converters.slides.dicom_slide', 'DicomSlide', 'wsidicom')
_HOW_TO_INSTALL = "pip install 'cellgan_plugin[slides]'"
# 75 x 100 mm of glass at 0.1 microns per pixel.
_LARGEST = 1 << 20
_PLAIN_TIFF = (
    '. A slide is a TIFF of tiles: images of one piece are for folders.py, or are tiled by "vips '
    'tiffsave IMAGE SLIDE --tile --pyramid --compression jpeg"'
)
# No XML parser: nothing of the description is expanded.
_OME_PIXELS = re.compile(r'<(?:\w+:)?Pixels\b[^>]*>')
_XML_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_MICRONS = {'nm': 1e-3, 'um': 1.0, '\u00b5m': 1.0, 'mm': 1e3, 'cm': 1e4, 'm': 1e6}
# Study and series stand side by side in a data set, and in none of its sequences.
_DICOM_SERIES = re.compile(rb' \0\r\0UI..[0-9.\0 ]* \0\x0e\0UI..([0-9.\0 ]*)', re.DOTALL)
_ENDS = 1 << 20  # bytes at either end of a file that its digest covers


class SlideError(ValueError):
    """A slide that cannot be opened or read; the message says why."""


def need(module: str, what: str) -> ModuleType:
    """Import an optional package; ConverterError that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConverterError(f'{what} needs {module} ({error}): {_HOW_TO_INSTALL}') from error


class SlideInfo(NamedTuple):
    """What a slide says of itself.

    Attributes:
        width, height (int): Of level 0, px.
        levels (tuple[tuple[int, int], ...]): Width and height of every level, px.
        downsamples (tuple[float, ...]): Level-0 px per px of every level.
        mpp (tuple[float, float] | None): Microns per level-0 px, across and down.
        objective (float | None): Magnification of the objective.
        vendor (str): Format, for people.
        reader (str): The library.
        origin (tuple[int, int]): Level-0 px of the corner of what was scanned: QuPath shows slides
            cut to it, and counts from there.
    """

    width: int
    height: int
    levels: Tuple[Tuple[int, int], ...]
    downsamples: Tuple[float, ...]
    mpp: Optional[Tuple[float, float]]
    objective: Optional[float]
    vendor: str
    reader: str
    origin: Tuple[int, int] = (0, 0)


def _libraries(path: Path) -> Iterator[Tuple[ModuleType, str, str]]:
    """Libraries that are installed and may read a file of this name, the best first."""
    suffix = path.suffix.lower()
    # The tiles of a BIF overlap; tiffslide puts them side by side.
    candidates = _LIBRARIES[:1] if suffix == '.bif' else _LIBRARIES
    for module, name, prefix in (_DICOM, *candidates) if suffix == '.dcm' else candidates:
        try:
            yield importlib.import_module(module), name, prefix
        except ImportError:
            continue


class SlideReader:
    """One open slide. Use it as a context manager; a process that is forked opens its own.

    Args:
        path (str | Path): The slide's file.

    Raises:
        SlideError: It cannot be opened.
        ConverterError: No library is installed.
    """

    def __init__(self, path: PathLike):
        self.path = Path(path)
        if not self.path.is_file():
            raise SlideError('there is no such file')
        tried = []
        for module, name, prefix in _libraries(self.path):
            # All libraries raise what their file format code raises; the next may do better.
            try:
                self._slide = getattr(module, name)(str(path))
                self.info = _info(self._slide, prefix)
                return
            except Exception as error:
                tried.append(f'{prefix}: {error or type(error).__name__}')
        if not tried:
            what = f'{self.path.suffix.lower()} slides'
            raise ConverterError(f'no library that reads {what} is installed: {_HOW_TO_INSTALL}')
        hint = _PLAIN_TIFF if self.path.suffix.lower() in ('.tif', '.tiff') else ''
        raise SlideError(f'cannot be opened ({"; ".join(tried)}){hint}')

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Read a region, all in px of its level (0 is the finest): uint8 (height, width, 3), RGB.

        What no tile covers is white in OpenSlide.

        Raises:
            SlideError: The slide is damaged there.
        """
        downsample = self.info.downsamples[level]
        location = (round(x * downsample), round(y * downsample))
        try:
            pixels = np.asarray(self._slide.read_region(location, level, (width, height)))
        except Exception as error:
            reason = f'at x {location[0]}, y {location[1]}, level {level}'
            raise SlideError(f'cannot be read {reason} ({error})') from error
        if pixels.ndim == 2:
            return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
        if pixels.shape[2] == 3:
            return pixels
        alpha = pixels[..., 3:]
        if alpha.min() == 255:
            return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
        part = alpha.astype(np.float32) / 255
        return np.rint(pixels[..., :3] * part + 255 * (1 - part)).astype(np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def __enter__(self) -> 'SlideReader':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _info(slide: Any, prefix: str) -> SlideInfo:
    properties = slide.properties
    mpp = tuple(_positive(properties.get(f'{prefix}.mpp-{axis}')) for axis in 'xy')
    if not all(mpp):
        mpp = _ome_mpp(str(properties.get('tiff.ImageDescription') or ''))
    levels = tuple((int(width), int(height)) for width, height in slide.level_dimensions)
    if not levels or min(levels[0]) < 1:
        raise SlideError('holds no pixel')
    if max(levels[0]) > _LARGEST:
        raise SlideError(f'claims {levels[0][0]}x{levels[0][1]} px; no scanner writes so many')
    return SlideInfo(
        *levels[0],
        levels,
        tuple(map(float, slide.level_downsamples)),
        mpp if all(mpp) else None,
        _positive(properties.get(f'{prefix}.objective-power')),
        str(properties.get(f'{prefix}.vendor') or 'unknown'),
        prefix,
        tuple(_whole(properties.get(f'{prefix}.bounds-{axis}')) for axis in 'xy'),
    )


def _ome_mpp(description: str) -> Tuple[Optional[float], Optional[float]]:
    """Microns per pixel by the first ``<Pixels>`` of an OME-TIFF, None where it does not say."""
    tag = _OME_PIXELS.search(description)
    said = dict(_XML_ATTRIBUTE.findall(tag.group())) if tag else {}
    mpp = []
    for axis in 'XY':
        size = _positive(said.get(f'PhysicalSize{axis}'))
        unit = html.unescape(said.get(f'PhysicalSize{axis}Unit', 'um')).replace('\u03bc', '\u00b5')
        mpp.append(size * _MICRONS[unit] if size and unit in _MICRONS else None)
    return tuple(mpp)


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _positive(value: Any) -> Optional[float]:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < float('inf') else None


def list_slides(source: PathLike) -> Dict[str, Path]:
    """Slides in a folder and its folders, or one file.

    Returns:
        dict[str, Path]: File by name without extension, sorted. The ``.dcm`` files of one folder
        are one slide, of that folder's name.

    Raises:
        ConverterError: There is none, two have one name, or a folder holds two DICOM series.
    """
    source = Path(source)
    if source.is_file():
        return {nfc(source.stem): source}
    if not source.is_dir():
        raise ConverterError(f'{source}: no such folder of slides')
    found: Dict[str, List[Path]] = {}
    series: Dict[Path, bytes] = {}  # by folder of DICOM files
    for path in sorted(source.rglob('*')):
        inside = path.relative_to(source).parts
        if path.suffix.lower() not in SLIDE_EXTENSIONS or any(map(is_hidden, inside)):
            continue
        if not path.is_file():
            continue
        name = path.stem
        if path.suffix.lower() == '.dcm':
            uid, known = _dicom_series(path), series.get(path.parent)
            if uid and known and uid != known:
                raise ConverterError(
                    f'{path.parent}: holds files of two DICOM series, which are two slides: give '
                    'each a folder of its own, whose name is that of the slide'
                )
            series[path.parent] = uid or known or b''
            if known is not None:
                continue
            name = path.parent.name
        found.setdefault(nfc(name), []).append(path)
    if not found:
        raise ConverterError(f'{source}: no slide in it; known are {", ".join(SLIDE_EXTENSIONS)}')
    twice = [str(paths[1]) for paths in found.values() if len(paths) > 1]
    if twice:
        raise ConverterError(
            f'{source}: {len(twice)} slide(s) have the name of another: {some_of(twice, 3)}; the '
            'name is what annotations and groups go by: rename them'
        )
    return {name: found[name][0] for name in sorted(found)}


def _dicom_series(path: Path) -> bytes:
    """UID of the series of a DICOM file, empty where it is not found."""
    with open(path, 'rb') as file:
        found = _DICOM_SERIES.search(file.read(_ENDS))
    return found.group(1).strip(b'\0 ') if found else b''


def slide_digest(path: Path) -> str:
    """Digest of a file's size and of its first and last MB: a slide has gigabytes."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, 'rb') as file:
        digest.update(file.read(_ENDS))
        size = file.seek(0, 2)
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(_ENDS))
    digest.update(str(size).encode())
    return digest.hexdigest()
