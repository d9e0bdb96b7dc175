"""Pictures as text inside a page, within a number of bytes."""

import base64
import io
from pathlib import Path
from typing import List, Sequence, Tuple, Union

import numpy as np
from PIL import Image

Source = Union[str, Path, np.ndarray]

_MEDIA = {'PNG': 'image/png', 'JPEG': 'image/jpeg', 'WEBP': 'image/webp'}
# Longest side and JPEG quality, from the first that is tried to the last.
_LEVELS: Tuple[Tuple[int, int], ...] = ((2400, 92), (1800, 88), (1300, 82), (900, 76), (600, 70))
# A PNG up to this size is kept: lines and letters stay sharp.
_SMALL = 250_000


def embed_pictures(sources: Sequence[Source], room: int) -> List[str]:
    """``data:`` addresses of pictures that together have at most ``room`` characters.

    The largest ones are made smaller first. A picture that has no room even as its smallest gets
    an empty address.

    Args:
        sources (Sequence[str | Path | np.ndarray]): Files, or uint8 RGB (H, W, 3).
        room (int): Characters.

    Returns:
        list[str]: One per picture.
    """
    levels = [0] * len(sources)
    found = [_address(source, 0) for source in sources]
    while sum(map(len, found)) > room:
        largest = max(range(len(found)), key=lambda i: len(found[i]))
        levels[largest] += 1
        at_end = levels[largest] >= len(_LEVELS)
        found[largest] = '' if at_end else _address(sources[largest], levels[largest])
    return found


def _address(source: Source, level: int) -> str:
    media, content = _encoded(source, level)
    return f'data:{media};base64,{base64.b64encode(content).decode("ascii")}'


def _encoded(source: Source, level: int) -> Tuple[str, bytes]:
    side, quality = _LEVELS[level]
    if isinstance(source, np.ndarray):
        image = Image.fromarray(source)
    else:
        image = Image.open(source)
        small = max(image.size) <= side
        content = Path(source).read_bytes()
        if level == 0 and small and image.format in _MEDIA and len(content) <= _SMALL:
            return _MEDIA[image.format], content
    if max(image.size) > side:
        image = image.convert('RGB')
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    drawn = _saved(image.convert('RGB'), 'PNG', optimize=level > 0)
    if len(drawn) <= _SMALL:
        return _MEDIA['PNG'], drawn
    taken = _saved(image.convert('RGB'), 'JPEG', quality=quality, subsampling=0)
    return min(((_MEDIA['PNG'], drawn), (_MEDIA['JPEG'], taken)), key=lambda pair: len(pair[1]))


def _saved(image: Image.Image, fmt: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()
