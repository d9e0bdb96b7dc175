"""PatchCamelyon's HDF5 files, opened with suspicion and read a little at a time.

Veeling et al. 2018: ``camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`` hold the data sets
``x`` (n, 96, 96, 3) uint8 and ``y`` (n, 1, 1, 1) uint8; ``..._meta.csv`` has one row per patch with
the slide it was cut from (``wsi``).
"""

import contextlib
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import h5py
import numpy as np

from cellgan_plugin.converters.common import ConverterError, read_table, some_of

SIDE = 96  # px of a patch
# Name of a split in the file names, by ours.
PUBLISHED_NAMES = {'train': 'train', 'val': 'valid', 'test': 'test'}
GROUP_COLUMNS = ('patient', 'wsi')  # the first that the table has is the group
_MOST_PATCHES = 10_000_000
# What one read may take: HDF5 decompresses whole chunks.
_MOST_CHUNK_BYTES = 256 << 20
_BLOCK_ROWS = 256


class PcamSplit(NamedTuple):
    """One split as published.

    Attributes:
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        images (Path): The HDF5 file of images.
        labels (np.ndarray): (n,) uint8: 0 normal, 1 tumour in the central 32x32 px.
        groups (list[str] | None): Patient or slide of every patch; None without a table.
        group_column (str): Which column of the table that is, ``''`` without one.
        files (list[str] | None): Names of the images in ``images``, which is a folder then; None:
            one HDF5 file.
    """

    split: str
    images: Path
    labels: np.ndarray
    groups: Optional[List[str]]
    group_column: str
    files: Optional[List[str]] = None


def split_files(root: Path, split: str) -> Dict[str, Path]:
    """Where the files ``'x'``, ``'y'`` and ``'meta'`` of a split lie, whether or not they exist."""
    stem = f'camelyonpatch_level_2_split_{PUBLISHED_NAMES[split]}'
    return {
        'x': root / f'{stem}_x.h5',
        'y': root / f'{stem}_y.h5',
        'meta': root / f'{stem}_meta.csv',
    }


def open_split(root: Path, split: str, with_meta: bool = True) -> PcamSplit:
    """Read labels and slides of a split and check its images' form; no image is read.

    Args:
        root (Path): The folder with the published files.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        with_meta (bool): Whether the table is needed. Defaults to True.

    Returns:
        PcamSplit: The split.

    Raises:
        ConverterError: On a missing, compressed, truncated or foreign file, a wrong shape or type,
            labels other than 0 and 1, a table that does not fit the labels.
    """
    files = split_files(root, split)
    with _dataset(files['x'], 'x') as images:
        if images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3) or images.dtype != np.uint8:
            raise ConverterError(
                f'{files["x"]}: x is {images.dtype} {images.shape}; expected uint8 '
                f'(n, {SIDE}, {SIDE}, 3)'
            )
        count = len(images)
    with _dataset(files['y'], 'y') as labels:
        if (
            labels.shape not in ((count,), (count, 1), (count, 1, 1, 1))
            or labels.dtype.kind not in 'iu'
        ):
            raise ConverterError(
                f'{files["y"]}: y is {labels.dtype} {labels.shape}; expected whole numbers '
                f'({count}, 1, 1, 1), one for each image of {files["x"].name}'
            )
        values = _read(files['y'], labels, slice(None)).reshape(-1)
    if not count:
        raise ConverterError(f'{files["x"]}: holds no image')
    strange = np.setdiff1d(values, (0, 1))
    if len(strange):
        raise ConverterError(
            f'{files["y"]}: labels {some_of(strange.tolist())}; expected 0 (normal) and 1 (tumor)'
        )
    groups, column = (None, '')
    if with_meta:
        groups, column = _read_meta(files['meta'], values)
    return PcamSplit(split, files['x'], values.astype(np.uint8), groups, column)


def iter_images(split: PcamSplit, indices: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
    """Number and image, uint8 RGB (96, 96, 3), of ascending ``indices``.

    Images are read in blocks: memory does not grow with the file.
    """
    wanted = np.asarray(indices, dtype=np.int64)
    with _dataset(split.images, 'x') as images:
        for start in np.unique(wanted // _BLOCK_ROWS) * _BLOCK_ROWS:
            low, high = np.searchsorted(wanted, (start, start + _BLOCK_ROWS))
            rows = wanted[low:high]
            if 4 * len(rows) >= _BLOCK_ROWS:
                block = _read(split.images, images, slice(start, start + _BLOCK_ROWS))
                yield from ((int(row), block[row - start]) for row in rows)
            else:
                for row in rows:
                    yield int(row), _read(split.images, images, int(row))


@contextlib.contextmanager
def _dataset(path: Path, key: str) -> Iterator[h5py.Dataset]:
    """A data set of an HDF5 file that lies in this file and can be read within bounds."""
    if not path.is_file():
        packed = path.with_name(f'{path.name}.gz')
        raise ConverterError(
            f'{packed}: is still compressed; unpack it with gunzip'
            if packed.is_file()
            else f'{path}: no such file; the folder must hold the files as published'
        )
    try:
        file = h5py.File(path, 'r')
    except OSError as error:
        raise ConverterError(
            f'{path}: not a whole HDF5 file ({error}); copy or download it again'
        ) from error
    with file:
        try:
            link = file.get(key, getlink=True)
            found = file[key] if isinstance(link, h5py.HardLink) else None
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise ConverterError(f'{path}: {key} cannot be read ({error})') from error
        if link is None:
            raise ConverterError(
                f'{path}: holds no data set {key!r}; its keys are '
                f'{some_of(sorted(file)) or "none"}. Are x and y swapped?'
            )
        if not isinstance(found, h5py.Dataset):
            raise ConverterError(
                f'{path}: {key} is no data set of this file (a group or a link elsewhere)'
            )
        if found.is_virtual or found.external:
            raise ConverterError(f'{path}: {key} takes its data from other files, which is refused')
        if not found.shape or len(found) > _MOST_PATCHES:
            raise ConverterError(f'{path}: {key} has shape {found.shape}; expected (n, ...)')
        chunk = found.chunks or (0,)
        if int(np.prod(chunk, dtype=np.float64)) * found.dtype.itemsize > _MOST_CHUNK_BYTES:
            raise ConverterError(
                f'{path}: {key} is stored in chunks of {chunk}, too much memory to read one'
            )
        yield found


def _read(path: Path, dataset: h5py.Dataset, where) -> np.ndarray:
    try:
        return dataset[where]
    except (OSError, RuntimeError, ValueError) as error:
        raise ConverterError(
            f'{path}: {dataset.name.lstrip("/")} is damaged ({error}); copy or download it again'
        ) from error


def _read_meta(path: Path, labels: np.ndarray) -> Tuple[List[str], str]:
    """The group of every patch, and the column that tells it."""
    if not path.is_file():
        raise ConverterError(
            f'{path}: no such file; it tells the slide of every patch. Put it beside the HDF5 '
            'files, or convert without groups with --without-meta'
        )
    groups: List[str] = []
    column = ''
    for where, row in read_table(path, ()):
        if not column:
            column = next((name for name in GROUP_COLUMNS if name in row), '')
            if not column:
                raise ConverterError(
                    f'{path}: no column {" or ".join(GROUP_COLUMNS)}; the header is '
                    f'{some_of(list(row), 8)}'
                )
        number = len(groups)
        group = row[column].strip()
        if not group or not group.isprintable():
            raise ConverterError(f'{path}, {where}: {column} is {row[column]!r}; expected a name')
        if number < len(labels):
            said = row.get('center_tumor_patch', '').strip().lower()
            if said in ('true', 'false') and (said == 'true') != bool(labels[number]):
                raise ConverterError(
                    f'{path}, {where}: center_tumor_patch is {said}, but the label of patch '
                    f'{number} is {labels[number]}: this table belongs to other labels'
                )
            index = row.get('', '').strip()
            if index and index != str(number):
                raise ConverterError(
                    f'{path}, {where}: is numbered {index}; expected {number}. Rows must be in '
                    'the order of the patches'
                )
        groups.append(group)
    if len(groups) != len(labels):
        raise ConverterError(
            f'{path}: has {len(groups)} rows, but there are {len(labels)} labels; the table is '
            'cut short or belongs to another split'
        )
    return groups, column
