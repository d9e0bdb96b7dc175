"""Any folder tree of single-class images -> class folders with a manifest.

The class of an image is told by a folder on its path or by a table, its group (slide, field,
patient) by a regular expression on that path or by a table. Equal images are kept once within a
class and refused across classes, where one of the two labels must be wrong.
"""

import fnmatch
import hashlib
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    DEFAULT_MAX_PIXELS,
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_area,
    check_output,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.folder_rules import (
    check_groups_apart,
    class_finder,
    group_finder,
    read_image_table,
    table_classes,
)
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.file_names import EXTENSIONS, PassedOver, nfc, walk_images
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image, read_header
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.files import atomic_write
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import digest_of

COLUMNS = ('file', 'label', 'split', 'group', 'source', 'width', 'height')
POLICIES = ('resize', 'crop', 'keep')


class _Source(NamedTuple):
    """One image to convert; ``file`` is relative to the source folder (POSIX)."""

    file: str
    label: str
    group: str


class _Content(NamedTuple):
    """What decoding an image once has shown."""

    digest: str  # of the pixels: the same image saved as BMP and as PNG is equal
    width: int
    height: int
    jpeg: bool


@writes_folder('out_dir', deep=True)
def convert_folders(
    source: PathLike,
    out_dir: PathLike,
    *,
    class_map: Optional[Mapping[str, Sequence[str]]] = None,
    classes: Optional[Sequence[str]] = None,
    policy: str = 'resize',
    size: Union[int, Sequence[int], None] = None,
    include: str = '*',
    table: Optional[PathLike] = None,
    group_regex: Optional[str] = None,
    group_csv: Optional[PathLike] = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    skip_unmatched: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: bool = True,
) -> ConversionResult:
    """Convert a folder tree, split by group.

    Args:
        source (str | Path): The tree; it is only read.
        out_dir (str | Path): Output folder: new, empty, or of the same conversion.
        class_map (Mapping[str, Sequence[str]], optional): Folder names that mean a class, as
            :func:`resolve_class` compares them. The deepest matching folder decides. Two folder
            names are one class only where the map says so. Defaults to None: the names that
            :func:`resolve_class` knows.
        classes (Sequence[str], optional): Classes to keep, in the order of the tables. Defaults to
            those of ``class_map``, else to the five of the paper.
        policy (str): ``'resize'``: the image is scaled until it just covers ``size``, then the
            centre is cut, so shapes are kept; ``'crop'``: the centre is cut at the scale as it is;
            ``'keep'``: the image stays as it is, a JPEG even byte for byte. Defaults to
            ``'resize'``.
        size (int | Sequence[int], optional): Side or (height, width) in px for resize and crop.
            Defaults to 256 there.
        include (str): Only paths (relative, POSIX) that match this pattern, e.g.
            ``'*/CROPPED/*.bmp'``. Defaults to all.
        table (str | Path, optional): CSV with the columns ``file`` (relative path) and ``label``,
            which then tells the class in place of folders; ``patient``, ``group`` or ``slide``
            tells the group; ``split`` (train, val, test), where it is there, is kept as it is.
        group_regex (str, optional): Searched in the relative path; the group is the part named
            ``group``, else the first part in parentheses.
        group_csv (str | Path, optional): Columns ``file`` (relative path) and ``group``.
        fractions (Sequence[float]): Of train, val and test. Defaults to 0.7, 0.15, 0.15.
        seed (int): Seed of the split. Defaults to 0.
        skip_unmatched (bool): Leave out images in no folder of a class. Defaults to False: refuse.
        max_pixels (int): Largest image in px, width x height. Defaults to 64 million.
        progress (bool): Show progress bars on a terminal. Defaults to True.

    Returns:
        ConversionResult: Manifest, counts and summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    if policy not in POLICIES:
        raise ConverterError(f'policy is {policy!r}; expected one of {", ".join(POLICIES)}')
    if policy == 'keep' and size is not None:
        raise ConverterError(f'policy keep leaves sizes as they are, but size {size} was given')
    size = None if policy == 'keep' else check_area(256 if size is None else size)
    fractions = check_fractions(fractions)
    known = None if table is None else read_image_table(table)
    find_group = group_finder(group_regex, group_csv)
    if known is None:
        find_class = rules = class_finder(class_map, classes)
    else:
        rules, find_class = table_classes(known, class_map, classes)
        if known.groups is not None:
            if group_regex is not None or group_csv is not None:
                raise ConverterError(f'{table} tells the groups; leave the group regex and CSV out')
            find_group = known.group_of
    classes = rules.classes
    source, out_dir = Path(source), Path(out_dir)
    counts: Counter = Counter()
    files = _list_images(source, out_dir, include, counts)
    if known is not None:
        absent = sorted(set(known.labels) - set(map(nfc, files)))
        if absent and include == '*':
            raise ConverterError(
                f'{table}: {len(absent)} file(s) are not in {source}: {some_of(absent, 3)}; paths '
                'are relative to that folder'
            )
    sources = _sort_out(source, files, find_class, find_group, skip_unmatched, counts)
    notes = rules.check()
    left_out = set(files) - {item.file for item in sources}
    if left_out:
        folders = sorted({str(PurePosixPath(file).parent) for file in left_out})
        notes.append(f'no class is named by {some_of(folders)}')
    if known is not None and known.splits is not None:
        groups = {nfc(item.file): item.group for item in sources}
        check_groups_apart(groups, known.splits, f'{table}: groups')
    contents = _look_at(source, sources, max_pixels, progress)
    record = make_record(
        'folders',
        {
            'classes': classes, 'policy': policy, 'size': size, 'fractions': fractions,
            'seed': seed,
        },
        # Class, group and pixels of every image: whatever led to them (map, pattern, CSV).
        {
            'images': digest_of([[s, contents[s.file].digest] for s in sources]),
            **({'splits': digest_of(list(known.splits.items()))} if known and known.splits else {}),
        },
    )  # fmt: skip
    check_output(out_dir, record)
    sources = _drop_duplicates(sources, contents, counts)
    if policy == 'crop':
        _check_crop(sources, contents, size)

    if known is not None and known.splits is not None:
        sides = {s.group: known.splits[nfc(s.file)] for s in sources}
        fractions = tuple(float(name in sides.values()) for name in SPLITS)
    else:
        sides = split_by_group(
            [s.label for s in sources], [s.group for s in sources], fractions, seed
        )
    names = _output_names(sources, contents, policy)
    rows = []
    for item in sources:
        content = contents[item.file]
        height, width = (content.height, content.width) if size is None else _area(size)
        rows.append(
            {
                'file': names[item.file],
                'label': item.label,
                'split': sides[item.group],
                'group': item.group,
                'source': item.file,
                'width': width,
                'height': height,
            }
        )
    rows.sort(key=lambda row: (classes.index(row['label']), row['file']))
    waiting = set(begin_output(out_dir, record, [row['file'] for row in rows]))
    todo = [row for row in rows if row['file'] in waiting]
    for row in tqdm(todo, 'convert', unit='image', disable=None if progress else True):
        _convert(source / row['source'], out_dir / row['file'], policy, size, max_pixels)
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, COLUMNS)
    counts['images in the output'] = len(rows)
    result = ConversionResult(manifest, rows, dict(counts))
    result.lines = split_table(rows, classes, fractions)
    result.lines.append('')
    result.lines += [f'{number:6d}  {name}' for name, number in counts.items() if number]
    result.lines += [f'note: {line}' for line in notes]
    if group_regex is None and group_csv is None and not (known and known.groups):
        result.lines.append(
            'WARNING: no group was given, so every image is its own: images of one slide or '
            'patient may be on two sides of the split; give --group-regex, --group-csv, or a table '
            'with a column patient'
        )
    result.lines.append(f'{len(todo)} images written, {len(rows) - len(todo)} were there already')
    return result


def _list_images(source: Path, out_dir: Path, include: str, counts: Counter) -> List[str]:
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


def _sort_out(
    source: Path,
    files: Sequence[str],
    find_class: Callable[[str], Optional[str]],
    find_group: Callable[[str], Optional[str]],
    skip_unmatched: bool,
    counts: Counter,
) -> List[_Source]:
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
        _Source(file, labels[file], find_group(file)) for file in files if labels[file] is not None
    ]
    lost = [item.file for item in sources if not item.group]
    if lost:
        raise ConverterError(
            f'{len(lost)} of {len(sources)} images have no group: {some_of(lost, 3)}; the group '
            'regex or CSV must cover every image'
        )
    return sources


def _look_at(
    source: Path, sources: Sequence[_Source], max_pixels: int, progress: bool
) -> Dict[str, _Content]:
    """Decode every image once, before anything is written: all must be readable."""
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
        contents[item.file] = _Content(
            digest.hexdigest(), image.shape[1], image.shape[0], header.format == 'JPEG'
        )
    if broken:
        raise ConverterError(f'{len(broken)} image(s) cannot be used: {some_of(broken, 3)}')
    return contents


def _drop_duplicates(
    sources: Sequence[_Source], contents: Mapping[str, _Content], counts: Counter
) -> List[_Source]:
    """Keep the first of equal images of a class; refuse equal images of two classes."""
    first: Dict[str, _Source] = {}
    kept, clashes = [], []
    for item in sources:
        other = first.setdefault(contents[item.file].digest, item)
        if other is item:
            kept.append(item)
        elif other.label != item.label:
            clashes.append(f'{other.file} ({other.label}) = {item.file} ({item.label})')
        else:
            counts['duplicates within a class, dropped'] += 1
    if clashes:
        raise ConverterError(
            f'{len(clashes)} image(s) are in two classes: {some_of(clashes, 3)}; remove the ones '
            'with the wrong class'
        )
    return kept


def _area(size: Union[int, Tuple[int, int]]) -> Tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else tuple(size)


def _check_crop(
    sources: Sequence[_Source], contents: Mapping[str, _Content], size: Union[int, Tuple[int, int]]
) -> None:
    height, width = _area(size)
    small = [
        f'{s.file} ({contents[s.file].width}x{contents[s.file].height})'
        for s in sources
        if contents[s.file].height < height or contents[s.file].width < width
    ]
    if small:
        raise ConverterError(
            f'{len(small)} image(s) are smaller than the crop of {width}x{height} px: '
            f'{some_of(small, 3)}; lower --size or use --policy resize'
        )


def _output_names(
    sources: Sequence[_Source], contents: Mapping[str, _Content], policy: str
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


def _convert(
    source: Path,
    target: Path,
    policy: str,
    size: Union[int, Tuple[int, int], None],
    max_pixels: int,
) -> None:
    """Write one image."""
    if target.suffix == '.jpg':
        data = source.read_bytes()
        with atomic_write(target) as file:
            file.write(data)
        return
    image = load_image(str(source), max_pixels=max_pixels)
    write_png(target, image if policy == 'keep' else fit_area(image, size, policy == 'resize'))


def fit_area(image: np.ndarray, size: Union[int, Tuple[int, int]], resize: bool) -> np.ndarray:
    """Cut the centre of ``size`` (a side, or height and width, px).

    With ``resize`` the image is scaled first, in its proportions, until it just covers the area.
    """
    area = _area(size)
    height, width = image.shape[:2]
    factor = max(area[0] / height, area[1] / width)
    if resize and factor != 1:
        height, width = max(area[0], round(height * factor)), max(area[1], round(width * factor))
        # Area means do not alias when shrinking; cubic keeps edges when enlarging.
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, (width, height), interpolation=how)
    top, left = (height - area[0]) // 2, (width - area[1]) // 2
    return np.ascontiguousarray(image[top : top + area[0], left : left + area[1]])
