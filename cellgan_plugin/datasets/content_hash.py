"""Know an image again by its pixels: after renaming, copying or lossless re-encoding.

A set of hashes may also name the groups (slides, fields, patients) of the images: entries of a form
of their own, so that they travel wherever the hashes do.
"""

import hashlib
import re
import unicodedata
from pathlib import Path
from typing import Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS, load_image
from cellgan_plugin.datasets.inspection import in_threads, with_progress
from cellgan_plugin.datasets.perceptual_hash import PERCEPTUAL_BYTES, perceptual_hash
from cellgan_plugin.files import ABOUT_FOLDER, atomic_write

# Lies in the work directory of a run and beside the manifest of a synthetic folder.
TRAINING_IMAGES = 'training_images.txt'
HASH_BYTES = 16

# A hash that begins so stands for the name of a group; of an image it does once in 2**32.
_GROUP = b'grp\0'

_HEX = re.compile(f'[0-9a-f]{{{2 * HASH_BYTES}}}')
Hashes = Union[np.ndarray, torch.Tensor]


def content_hash(pixels: np.ndarray) -> bytes:
    """Hash of one image: BLAKE2b of 128 bits over shape and pixels.

    Args:
        pixels (np.ndarray): uint8 RGB of shape (H, W, 3), as
            :func:`~cellgan_plugin.datasets.image_io.load_image` gives it. Grey files are hashed
            as the RGB they are read as.

    Returns:
        bytes: 16 bytes, equal for equal pixels and sizes only.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f'an RGB image is uint8 of shape (H, W, 3); got {pixels.dtype} {pixels.shape}'
        )
    height, width, _ = pixels.shape
    state = hashlib.blake2b(f'{height}x{width}:'.encode(), digest_size=HASH_BYTES)
    state.update(np.ascontiguousarray(pixels).data)
    return state.digest()


def pixel_digest(image: np.ndarray) -> bytes:
    """16 bytes, equal for arrays (grey or RGB) of equal bytes and shape only."""
    digest = hashlib.blake2b(image.tobytes(), digest_size=HASH_BYTES)
    digest.update(repr(image.shape).encode())
    return digest.digest()


def content_hashes(
    paths: Sequence[Union[str, Path]],
    workers: Optional[int] = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    title: str = 'Hashing images',
) -> np.ndarray:
    """Hashes of files, uint8 (N, 16), read on several threads with a progress bar on a terminal.

    About 2.4 ms of one core per JPEG and 5.3 ms per PNG of 256 px. A resized, cropped or lossily
    re-encoded copy is another image. ``workers`` are threads; None: the usable cores, at most 8.

    Raises:
        ImageFileError: A file that cannot be read, or of more than ``max_pixels`` (width x height).
    """

    def look(path: Union[str, Path]) -> bytes:
        return content_hash(load_image(str(path), channels=3, max_pixels=max_pixels))

    found = with_progress(in_threads(look, paths, threads=workers), len(paths), title)
    return np.frombuffer(b''.join(found), dtype=np.uint8).reshape(-1, HASH_BYTES).copy()


def image_hashes(
    paths: Sequence[Union[str, Path]], title: str = 'Hashing images'
) -> Tuple[np.ndarray, np.ndarray]:
    """Both kinds of hashes of files, each decoded once.

    Returns:
        tuple: :func:`content_hashes`, uint8 (N, 16), and
        :func:`~cellgan_plugin.datasets.perceptual_hash.perceptual_hash`, uint8 (N, 32).

    Raises:
        ImageFileError: A file that cannot be read.
    """

    def look(path: Union[str, Path]) -> Tuple[bytes, bytes]:
        pixels = load_image(str(path))
        return content_hash(pixels), perceptual_hash(pixels)

    found = list(with_progress(in_threads(look, paths), len(paths), title))
    rows = [np.frombuffer(b''.join(part), np.uint8) for part in zip(*found, strict=True)]
    if not rows:
        rows = [np.zeros(0, np.uint8)] * 2
    return rows[0].reshape(-1, HASH_BYTES), rows[1].reshape(-1, PERCEPTUAL_BYTES)


def as_hashes(hashes: Hashes) -> np.ndarray:
    """Check the form of hashes; ValueError unless they are uint8 (N, 16). No copy is made."""
    if isinstance(hashes, torch.Tensor):
        hashes = hashes.detach().cpu().numpy()
    hashes = np.asarray(hashes)
    if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != HASH_BYTES:
        raise ValueError(
            f'hashes of images are uint8 of shape (N, {HASH_BYTES}); got {hashes.dtype} '
            f'{hashes.shape}'
        )
    return hashes


def group_hashes(names: Iterable[str]) -> np.ndarray:
    """Entries that stand for groups (slides, fields, patients), by their names.

    Empty names are left out; Unicode forms (NFC, NFD) and blanks around do not matter.

    Returns:
        np.ndarray: uint8 (N, 16), sorted, each once.
    """
    names = {unicodedata.normalize('NFC', name).strip() for name in names} - {''}
    size = HASH_BYTES - len(_GROUP)
    rows = [_GROUP + hashlib.blake2b(name.encode(), digest_size=size).digest() for name in names]
    return merge_hashes(np.frombuffer(b''.join(rows), dtype=np.uint8).reshape(-1, HASH_BYTES))


def split_groups(hashes: Hashes) -> Tuple[np.ndarray, np.ndarray]:
    """The hashes of images among some, and the entries of groups: two arrays uint8 (N, 16)."""
    rows = as_hashes(hashes)
    is_group = (rows[:, : len(_GROUP)] == np.frombuffer(_GROUP, dtype=np.uint8)).all(axis=1)
    return rows[~is_group], rows[is_group]


def merge_hashes(*parts: Hashes) -> np.ndarray:
    """The union of several sets of hashes, uint8 (N, 16), sorted, each once.

    For a model that stands on another one: what trained a latent diffusion model is what trained
    its autoencoder and what trained itself.
    """
    rows = np.concatenate([np.zeros((0, HASH_BYTES), np.uint8), *map(as_hashes, parts)])
    return np.unique(rows, axis=0)


def to_hex(hashes: Hashes) -> List[str]:
    """Hashes (N, 16) as N strings of 32 hexadecimal digits, in order."""
    rows = as_hashes(hashes)
    text, width = rows.tobytes().hex(), 2 * HASH_BYTES
    return [text[start : start + width] for start in range(0, len(text), width)]


def from_hex(texts: Iterable[str]) -> np.ndarray:
    """The inverse of :func:`to_hex`; ValueError for a string that is no hash."""
    texts = list(texts)
    for text in texts:
        if not _HEX.fullmatch(text):
            raise ValueError(f'{text[:80]!r} is no hash: {2 * HASH_BYTES} digits 0-9a-f')
    rows = np.frombuffer(bytes.fromhex(''.join(texts)), dtype=np.uint8)
    return rows.reshape(-1, HASH_BYTES).copy()


def training_images_file(folder: Union[str, Path]) -> Path:
    """Where a folder says what is behind it; the file need not be there.

    Folders of images have it in ``__about__``, work directories and older folders of images beside
    everything else.
    """
    inside = Path(folder) / ABOUT_FOLDER / TRAINING_IMAGES
    return inside if inside.is_file() else Path(folder) / TRAINING_IMAGES


def _file(path: Union[str, Path]) -> Path:
    path = Path(path)
    return training_images_file(path) if path.is_dir() else path


def write_provenance(root: Union[str, Path], hashes: Optional[Hashes]) -> None:
    """Write the hashes (uint8 (N, 16)) behind a folder of images into it; None takes them away."""
    inside = Path(root) / ABOUT_FOLDER / TRAINING_IMAGES
    if hashes is None:
        inside.unlink(missing_ok=True)
    else:
        write_training_images(inside, hashes)
    (Path(root) / TRAINING_IMAGES).unlink(missing_ok=True)  # of an older version


def write_training_images(path: Union[str, Path], hashes: Hashes) -> Path:
    """Write hashes (uint8 (N, 16)) as text, one per line, sorted, each once; whole or not at all.

    ``path`` is the file, or an existing folder, which gets ``training_images.txt``.
    """
    path = _file(path)
    with atomic_write(path, 'w', encoding='ascii') as file:
        file.writelines(f'{line}\n' for line in to_hex(merge_hashes(hashes)))
    return path


def read_training_images(path: Union[str, Path]) -> np.ndarray:
    """Read what :func:`write_training_images` wrote, by file or folder.

    Returns:
        np.ndarray: uint8 (N, 16), sorted, each once.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A line that is no hash; the message names it.
    """
    path = _file(path)
    lines: List[str] = []
    with open(path, encoding='ascii', errors='replace') as file:
        # Bounded, so that a file that is no list is not read as one enormous line.
        while line := file.readline(1024):
            if line.strip():
                lines.append(line.strip())
                if not _HEX.fullmatch(lines[-1]):
                    raise ValueError(
                        f'{path}, line {len(lines)}: {line[:80].strip()!r} is no hash of an image '
                        f'({2 * HASH_BYTES} digits 0-9a-f). The file is damaged: copy it again '
                        'from the run that made it'
                    )
    return merge_hashes(from_hex(lines))
