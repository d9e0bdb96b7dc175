"""What the files of two sets of images give away: format, compression, size, traces of both.

A classifier that learns 'JPEG is real and PNG synthetic', or 'HSIL is of quality 80', has learnt
nothing of cells. Such a shortcut is found in the headers, and where images were saved again, in the
pixels: JPEG leaves edges every 8 px, enlarging leaves no fine detail, subsampling no fine colour.
"""

import io
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin

from cellgan_plugin.datasets.file_names import PassedOver, walk_images
from cellgan_plugin.datasets.image_io import (
    DEFAULT_MAX_PIXELS,
    ImageFileError,
    load_image,
    open_vetted,
)
from cellgan_plugin.datasets.inspection import in_threads
from cellgan_plugin.datasets.manifest import iter_manifest

SAMPLE = 200  # files of either side that are looked at
# A single statistic that sorts real from synthetic images as well as this is a shortcut.
TELLING_AUC = 0.9
_FEW = 20  # images of either side below which an AUC means nothing
_SAME_QUALITY = 3  # steps of libjpeg's scale
_SUBSAMPLING = {0: '4:4:4', 1: '4:2:2', 2: '4:2:0'}
# Annex K of the JPEG standard, the table that libjpeg scales by its quality; natural order.
_LUMA = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69,
        56, 14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81,
        104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip


class JpegStyle(NamedTuple):
    """How a JPEG is compressed.

    Attributes:
        tables (tuple[tuple[int, ...], ...]): Quantisation tables, 64 numbers each.
        subsampling (int): Of colour: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0, -1 another.
    """

    tables: Tuple[Tuple[int, ...], ...]
    subsampling: int

    @property
    def quality(self) -> int:
        """The nearest quality of libjpeg, 1 to 100."""
        table = np.array(self.tables[0])
        off = [np.abs(_scaled(quality) - table).sum() for quality in range(1, 101)]
        return int(np.argmin(off)) + 1


def _scaled(quality: int) -> np.ndarray:
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return np.clip((_LUMA * scale + 50) // 100, 1, 255)


class FileHistory(NamedTuple):
    """What a header says.

    Attributes:
        format (str): ``'JPEG'``, ``'PNG'``, ...
        size (tuple[int, int]): Width and height, px.
        jpeg (JpegStyle | None): Of a JPEG.
    """

    format: str
    size: Tuple[int, int]
    jpeg: Optional[JpegStyle]

    def describe(self) -> str:
        """In words, without the size."""
        if self.jpeg is None:
            return self.format
        return f'JPEG of quality {self.jpeg.quality}, {_SUBSAMPLING.get(self.jpeg.subsampling, "")}'


def read_history(path: str) -> FileHistory:
    """Read the header of an image file; ImageFileError when it is none."""
    with open_vetted(path, DEFAULT_MAX_PIXELS) as (image, _):
        jpeg = None
        if image.format == 'JPEG':
            tables = tuple(tuple(table) for _, table in sorted(image.quantization.items()))
            jpeg = JpegStyle(tables, JpegImagePlugin.get_sampling(image))
        return FileHistory(image.format, image.size, jpeg)


def style_of(files: Sequence[str]) -> FileHistory:
    """The history that most of a sample of files have.

    Raises:
        ImageFileError: None of them can be read.
    """
    histories = _histories(_sampled(files))
    if not histories:
        raise ImageFileError('unreadable', files[0] if files else '', 'no image file can be read')
    return Counter(histories).most_common(1)[0][0]


def list_image_files(source: Union[str, Path]) -> Tuple[Path, List[str]]:
    """Images of a folder and its folders, or of a manifest with a column ``file``.

    Returns:
        tuple[Path, list[str]]: The folder, and paths relative to it.

    Raises:
        ManifestError: A manifest that cannot be read.
    """
    source = Path(source).expanduser()
    if source.suffix.lower() == '.csv':
        return source.parent, [row['file'] for _, row in iter_manifest(source, ('file',))]
    return source, sorted(walk_images(source, PassedOver())) if source.is_dir() else []


def encode_jpeg_like(image: np.ndarray, style: JpegStyle) -> bytes:
    """Encode an image with the tables and the colour sampling of another JPEG."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    tables = [list(table) for table in style.tables]
    picture.save(buffer, 'JPEG', qtables=tables, subsampling=max(style.subsampling, 0))
    return buffer.getvalue()


def _sampled(files: Sequence[str]) -> List[str]:
    chosen = np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).round().astype(int)
    return [files[index] for index in dict.fromkeys(chosen.tolist())]


def _histories(files: Sequence[str]) -> List[FileHistory]:
    """Of the files that can be read; the others are told by whoever checks files."""

    def read(path: str) -> Optional[FileHistory]:
        try:
            return read_history(path)
        except ImageFileError:
            return None

    return [history for history in in_threads(read, files) if history is not None]


def statistics_of(image: np.ndarray) -> Dict[str, float]:
    """Traces of compression and size in the pixels, each high where there is more of its name.

    Args:
        image (np.ndarray): uint8 (H, W, 3), RGB, at least 24 px on a side.

    Returns:
        dict[str, float]: ``'8 px block edges'``, ``'fine detail'`` and ``'fine colour'``.
    """
    luma, red, blue = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32))
    return {
        '8 px block edges': _block_edges(luma),
        'fine detail': _fineness(luma),
        'fine colour': _fineness(red) + _fineness(blue),
    }


def _block_edges(plane: np.ndarray) -> float:
    """Steps across borders of 8 px blocks over all others, as a logarithm."""
    ratios = []
    for steps in (np.abs(np.diff(plane, axis=1)), np.abs(np.diff(plane, axis=0)).T):
        at = np.arange(steps.shape[1]) % 8 == 7
        ratios.append((steps[:, at].mean() + 1e-3) / (steps[:, ~at].mean() + 1e-3))
    return float(np.log(ratios).mean())


def _fineness(plane: np.ndarray) -> float:
    """Contrast finer than 1 px over that of 2 to 4 px, as a logarithm."""
    one, two, four = (cv2.GaussianBlur(plane, (0, 0), sigma) for sigma in (1.0, 2.0, 4.0))
    return float(np.log(((plane - one).std() + 1e-3) / ((two - four).std() + 1e-3)))


def area_under_curve(first: Sequence[float], second: Sequence[float]) -> float:
    """How well one number sorts two sets: 0.5 not at all, 1 without a mistake, either way."""
    from scipy.stats import rankdata  # not with this module, which every program imports

    ranks = rankdata(np.concatenate([first, second]))
    wins = ranks[: len(first)].sum() - len(first) * (len(first) + 1) / 2
    area = wins / (len(first) * len(second))
    return float(max(area, 1 - area))


def compare_files(
    real: Sequence[str], other: Sequence[str], names: Tuple[str, str] = ('real', 'synthetic')
) -> List[str]:
    """What tells two sets of image files apart before anybody looks at a cell.

    Args:
        real (Sequence[str]): Paths of one side.
        other (Sequence[str]): Paths of the other.
        names (tuple[str, str]): Of the sides, for the messages.

    Returns:
        list[str]: One line for each difference.
    """
    sides = [_sampled(list(files)) for files in (real, other)]
    histories = [_histories(files) for files in sides]
    if not all(histories):
        return []
    lines = []
    styles = [Counter(h._replace(size=(0, 0)) for h in side).most_common(1)[0][0]
              for side in histories]  # fmt: skip
    if _differ(*styles):
        lines.append(
            f'{names[0]} images are {styles[0].describe()}, {names[1]} ones '
            f'{styles[1].describe()}: compression tells them apart'
        )
    sizes = [Counter(h.size for h in side).most_common(1)[0][0] for side in histories]
    if sizes[0] != sizes[1]:
        shown = ['x'.join(map(str, size)) for size in sizes]
        lines.append(
            f'most {names[0]} images have {shown[0]} px, most {names[1]} ones {shown[1]}: resizing '
            'leaves traces in one of them'
        )
    return [*lines, *_telling_statistics(sides, names)]


def _differ(first: FileHistory, second: FileHistory) -> bool:
    if (first.jpeg is None) != (second.jpeg is None):
        return True
    if first.jpeg is None:
        return False  # lossless formats differ in nothing that a classifier sees
    return (
        abs(first.jpeg.quality - second.jpeg.quality) > _SAME_QUALITY
        or first.jpeg.subsampling != second.jpeg.subsampling
    )


def _telling_statistics(sides: Sequence[Sequence[str]], names: Tuple[str, str]) -> Iterator[str]:
    def measure(path: str) -> Optional[Dict[str, float]]:
        try:
            image = load_image(path)
        except ImageFileError:
            return None
        return statistics_of(image) if min(image.shape[:2]) >= 24 else None

    measured: List[List[Any]] = [
        [found for found in in_threads(measure, files) if found] for files in sides
    ]
    if min(map(len, measured)) < _FEW:
        return
    for name in measured[0][0]:
        values = [[found[name] for found in side] for side in measured]
        area = area_under_curve(*values)
        if area >= TELLING_AUC:
            more = names[int(np.median(values[1]) > np.median(values[0]))]
            yield (
                f'{name} alone sort {names[0]} from {names[1]} images with an AUC of {area:.2f} '
                f'(more in {more} ones)'
            )


def uneven_compression(by_class: Dict[str, Sequence[str]]) -> str:
    """How compression differs between the classes of a data set, '' where it does not.

    Args:
        by_class (dict[str, Sequence[str]]): Paths by class.
    """
    styles: Dict[str, FileHistory] = {}
    for name, files in by_class.items():
        histories = [h._replace(size=(0, 0)) for h in _histories(_sampled(list(files))[::4])]
        if histories:
            styles[name] = Counter(histories).most_common(1)[0][0]
    first = next(iter(styles.values()), None)
    if first is None or not any(_differ(first, style) for style in styles.values()):
        return ''
    return ', '.join(f'{name} {style.describe()}' for name, style in styles.items())
