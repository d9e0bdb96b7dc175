"""The images of a folder tree before conversion: listed, sorted out, decoded once, named."""

import fnmatch
import hashlib
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import ConverterError, some_of
from cellgan_plugin.converters.fitting import Fit, bright_colour
from cellgan_plugin.datasets.file_names import EXTENSIONS, PassedOver, nfc, walk_images
from cellgan_plugin.datasets.image_io import ImageFileError, load_image, read_header
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.records import digest_of


class Source(NamedTuple):
    """One image to convert; ``file`` is relative to the source folder (POSIX)."""

    file: str
    label: str
    group: str


class Content(NamedTuple):
    """What decoding an image once has shown."""

    digest: str  # of the pixels: the same image saved as BMP and as PNG is equal
    width: int
    height: int
    jpeg: bool
    bright: Optional[np.ndarray]  # RGB of its brightest tenth, where asked for


def list_images(source: Path, out_dir: Path, include: str, counts: Counter) -> List[str]:
    """Relative POSIX paths of the images under ``source``, sorted."""
    if not source.is_dir():
        raise ConverterError(f'{source}: no such source folder')
    inner, outer = source.resolve(), out_dir.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise ConverterError(
            f'output {out_dir} and source {source} lie within each other; put them side by side'
        )
    files = []
    passed = PassedOver()
    for file in walk_images(source, passed):
        if not fnmatch.fnmatchcase(nfc(file), nfc(include)):
            counts['images that --include leaves out'] += 1
        elif not file.isprintable():
            raise ConverterError(
                f'{source}: file name {file!r} holds bytes that are no UTF-8 text, or control '
                'characters; rename it'
            )
        else:
            files.append(file)
    counts['other files, left out'] = sum(passed.others.values())
    counts['hidden files and folders, left out'] = passed.hidden
    counts['linked folders, left out'] = len(passed.links)
    if not files:
        raise ConverterError(
            f'{source}: no image ({", ".join(EXTENSIONS)}) that matches {include!r} in it'
        )
    return sorted(files)


def sort_out(
    source: Path,
    files: Sequence[str],
    find_class: Callable[[str], Optional[str]],
    find_group: Callable[[str], Optional[str]],
    skip_unmatched: bool,
    counts: Counter,
) -> List[Source]:
    """Class and group of every file; what has none is refused, or counted when left out."""
    labels = {file: find_class(file) for file in files}
    strangers = [file for file in files if labels[file] is None]
    counts['images'] = len(files)
    counts['images in no folder of a class, left out'] = len(strangers)
    if strangers and (not skip_unmatched or len(strangers) == len(files)):
        folders = sorted({str(PurePosixPath(file).parent) for file in strangers})
        raise ConverterError(
            f'{source}: {len(strangers)} of {len(files)} images are in no folder that names a '
            f'class; their folders: {some_of(folders)}; name them with --map CLASS=folder, or '
            'leave them out with --skip-unmatched'
        )
    sources = [
        Source(file, labels[file], find_group(file)) for file in files if labels[file] is not None
    ]
    lost = [item.file for item in sources if not item.group]
    if lost:
        raise ConverterError(
            f'{len(lost)} of {len(sources)} images have no group: {some_of(lost, 3)}; the group '
            'regex or CSV must cover every image'
        )
    return sources


def look_at(
    source: Path, sources: Sequence[Source], max_pixels: int, bright: bool, progress: bool
) -> Dict[str, Content]:
    """Decode every image once, before anything is written: all must be readable.

    With ``bright`` the colour of the background is found, too.
    """
    contents, broken = {}, []
    for item in tqdm(sources, 'check', unit='image', disable=None if progress else True):
        path = str(source / item.file)
        try:
            header = read_header(path, max_pixels=max_pixels)
            image = load_image(path, max_pixels=max_pixels)
        except ImageFileError as error:
            broken.append(str(error))
            continue
        digest = hashlib.sha256(f'{image.shape}'.encode())
        digest.update(image)
        contents[item.file] = Content(
            digest.hexdigest(),
            image.shape[1],
            image.shape[0],
            header.format == 'JPEG',
            bright_colour(image) if bright else None,
        )
    if broken:
        raise ConverterError(f'{len(broken)} image(s) cannot be used: {some_of(broken, 3)}')
    return contents


def backgrounds_of(
    sources: Sequence[Source], contents: Mapping[str, Content]
) -> Dict[str, np.ndarray]:
    """Background RGB by group: the median over its images."""
    colours: Dict[str, List[np.ndarray]] = {}
    for item in sources:
        colours.setdefault(item.group, []).append(contents[item.file].bright)
    return {group: np.median(of_group, axis=0) for group, of_group in colours.items()}


def drop_duplicates(
    sources: Sequence[Source],
    contents: Mapping[str, Content],
    splits: Optional[Mapping[str, str]],
    counts: Counter,
) -> List[Source]:
    """Keep one of equal images of a class; refuse equal images of two classes.

    The first is kept. Under a given split (by file in composed Unicode) it is the one in test, else
    in val: what is measured there was published, and training must not know it. ``counts`` gets
    what was dropped.
    """
    first: Dict[str, Source] = {}
    clashes = []

    def side(item: Source) -> int:
        return SPLITS.index(splits[nfc(item.file)]) if splits else 0

    for item in sources:
        digest = contents[item.file].digest
        other = first.setdefault(digest, item)
        if other is item:
            continue
        if other.label != item.label:
            clashes.append(f'{other.file} ({other.label}) = {item.file} ({item.label})')
        counts['duplicates within a class, dropped'] += 1
        if side(other) != side(item):
            counts['of these, in two splits; kept in test, else in val'] += 1
            if side(item) > side(other):
                first[digest] = item
    if clashes:
        raise ConverterError(
            f'{len(clashes)} image(s) are in two classes: {some_of(clashes, 3)}; remove the ones '
            'with the wrong class'
        )
    kept = set(first.values())
    return [item for item in sources if item in kept]


def check_crop(sources: Sequence[Source], contents: Mapping[str, Content], fit: Fit) -> None:
    """Refuse images that are smaller than what is to be cut from them."""
    height, width = fit.area
    small = []
    for item in sources:
        content = contents[item.file]
        rows, columns = fit.scaled(content.height, content.width)
        if rows < height or columns < width:
            small.append(f'{item.file} ({columns}x{rows})')
    if small:
        scaled = '' if fit.factor == 1 else f', scaled by {fit.factor:g},'
        raise ConverterError(
            f'{len(small)} image(s){scaled} are smaller than the crop of {width}x{height} px: '
            f'{some_of(small, 3)}; lower --size, or use --policy pad (keeps the scale) or resize'
        )


def output_names(
    sources: Sequence[Source], contents: Mapping[str, Content], policy: str
) -> Dict[str, str]:
    """Where each image goes: class/flattened-path.png, with a digest where that is ambiguous."""
    stems = {
        s.file: re.sub(
            r'[^\w.+-]', '_', '__'.join(PurePosixPath(s.file).with_suffix('').parts), flags=re.A
        ).lstrip('.-')
        for s in sources
    }
    met = Counter((s.label, stems[s.file].casefold()) for s in sources)
    names = {}
    for item in sources:
        stem = stems[item.file]
        if met[item.label, stem.casefold()] > 1 or not stem or len(stem) > 150:
            stem = f'{stem[-120:]}-{digest_of([nfc(item.file)])[:12]}'
        suffix = '.jpg' if policy == 'keep' and contents[item.file].jpeg else '.png'
        names[item.file] = f'{item.label}/{stem}{suffix}'
    return names
