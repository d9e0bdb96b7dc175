"""Look at image files one by one: what training would refuse, convert or enlarge."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from cellgan_plugin.datasets.image_io import (
    ImageFileError,
    ImageHeader,
    load_image,
    read_header,
)
from cellgan_plugin.datasets.problems import ERROR, NOTE, WARNING, Problem
from cellgan_plugin.machine import usable_cores

CONVERSIONS = {
    'palette': 'palette image, converted to its colours',
    'alpha': 'image with an alpha channel, composited on white',
    'grayscale': 'grey image, repeated to three channels',
    'bilevel': 'one-bit image (a mask?), converted to black and white',
    'YCbCr': 'YCbCr image, converted to RGB',
}
_THREADS = 8  # Pillow releases the GIL while it decodes
_CHUNK = 256  # items whose results are held at a time


def resolve_inside(root: str, path: str) -> str:
    """The real path of ``path``, refused when a symbolic link leads out of ``root``.

    Args:
        root (str): The folder as ``os.path.realpath`` gives it.
        path (str): The file, below ``root`` by name.

    Returns:
        str: The file with all links resolved.

    Raises:
        ImageFileError: When the file lies outside ``root``.
    """
    try:
        real = os.path.realpath(path)
    except ValueError as error:  # e.g. a NUL character from a list
        raise ImageFileError('unreadable', path, f'is not a file name ({error})') from error
    if not real.startswith(root.rstrip(os.sep) + os.sep):
        raise ImageFileError(
            'outside',
            path,
            f'is a link that leaves the data folder (to {real}). Copy the file, or set '
            'follow_links=True in the dataset config if the link is yours',
        )
    return real


class Reader(NamedTuple):
    """How a data set reads its files; the same for training and for the checker.

    Attributes:
        root (str): Image folder.
        real_root (str): The same without links, or '' when links are followed.
        channels (int): 1 or 3.
        max_pixels (int): Largest width x height.
    """

    root: str
    real_root: str
    channels: int
    max_pixels: int

    def path(self, file: str) -> str:
        """The path to open for ``file``; raises ImageFileError when it leaves the folder."""
        path = os.path.join(self.root, file)
        if self.real_root:
            resolve_inside(self.real_root, path)
        return path

    def header(self, file: str) -> ImageHeader:
        """Header of ``file``; see :func:`~cellgan_plugin.datasets.image_io.read_header`."""
        return read_header(self.path(file), self.channels, self.max_pixels)

    def image(self, file: str) -> np.ndarray:
        """Pixels of ``file``; see :func:`~cellgan_plugin.datasets.image_io.load_image`."""
        return load_image(self.path(file), self.channels, self.max_pixels)


class Inspection(NamedTuple):
    """Findings of one file.

    Attributes:
        header (ImageHeader | None): None when the header cannot be used.
        shape (tuple[int, int] | None): Height and width after resizing or cropping.
        problems (list[Problem]): Findings.
        image (np.ndarray | None): The pixels, when they were asked for and could be read.
    """

    header: Optional[ImageHeader]
    shape: Optional[Tuple[int, int]]
    problems: List[Problem]
    image: Optional[np.ndarray] = None


def header_remarks(header: ImageHeader, where: str) -> Iterator[Problem]:
    """What is done to an image that is read, and what its header makes one suspect."""
    if header.conversion:
        yield Problem(WARNING, header.conversion, where, CONVERSIONS[header.conversion])
    if header.orientation != 1:
        message = f'has the orientation tag {header.orientation}; it is turned as viewers show it'
        yield Problem(NOTE, 'orientation tag', where, message)
    if header.zero_tail:
        message = (
            'ends in zeros: black pixels, or a copy that was cut short and filled up. Look at it, '
            'and copy it again'
        )
        yield Problem(WARNING, 'ends in zeros', where, message)


def is_blank(image: np.ndarray) -> bool:
    """Whether an image (H, W, C) is one colour throughout, give or take two grey levels."""
    first = image[0, 0].astype(np.int16)
    # Most images differ in one row already.
    if np.abs(image[image.shape[0] // 2].astype(np.int16) - first).max() > 2:
        return False
    return int(np.abs(image.astype(np.int16) - first).max()) <= 2


def blank_problem(image: np.ndarray, where: str) -> List[Problem]:
    """The finding for an image that shows nothing; no finding for another."""
    if not is_blank(image):
        return []
    colour = image[0, 0].tolist()
    name = {0: 'black', 255: 'white'}.get(colour[0] if len(set(colour)) == 1 else -1)
    message = f'is one colour throughout ({name or colour}): it shows nothing. Remove it'
    return [Problem(ERROR, 'blank', where, message)]


def inspect_file(
    reader: Reader,
    file: str,
    output_shape: Callable[[int, int], Tuple[int, int]],
    decode: bool = False,
) -> Inspection:
    """Check one file as training would meet it.

    Args:
        reader (Reader): How files are read.
        file (str): The file, relative to the reader's root.
        output_shape (Callable): (height, width) -> (height, width) after resizing or cropping;
            raises ValueError for a size that cannot be used.
        decode (bool): Decode the pixels of every file, not only of those whose end looks cut
            off. Defaults to False.

    Returns:
        Inspection: What was found; nothing is raised for a bad file.
    """
    where = os.path.join(reader.root, file)
    problems: List[Problem] = []
    image = None
    try:
        header = reader.header(file)
    except ImageFileError as error:
        return Inspection(None, None, [Problem(ERROR, error.kind, where, error.reason)])
    problems += header_remarks(header, where)
    shape = None
    try:
        shape = output_shape(header.height, header.width)
    except ValueError as error:
        problems.append(Problem(ERROR, 'wrong size', where, str(error)))
    else:
        if shape[0] > header.height or shape[1] > header.width:
            message = f'{header.width}x{header.height} is enlarged to {shape[1]}x{shape[0]}'
            problems.append(Problem(WARNING, 'enlarged', where, message))
    if decode or not header.complete:
        try:
            image = reader.image(file)
        except ImageFileError as error:
            problems.append(Problem(ERROR, error.kind, where, error.reason))
    return Inspection(header, shape, problems, image)


def in_threads(function: Callable, items: Sequence, threads: Optional[int] = None) -> Iterator:
    """``map(function, items)`` on a few threads, in order, holding one chunk of results."""
    if threads is None:
        threads = min(_THREADS, usable_cores())
    if threads < 2 or len(items) < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(items), _CHUNK):
            yield from pool.map(function, items[start : start + _CHUNK])


def with_progress(items: Iterable, total: int, title: str) -> Iterator:
    """Show a progress bar on a terminal; nothing in a log file."""
    return iter(tqdm(items, title, total=total, disable=None, leave=False))
