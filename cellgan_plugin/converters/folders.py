"""Any folder tree of single-class images -> class folders with a manifest.

The class of an image is told by a folder on its path or by a table, its group (slide, field,
patient) by a regular expression on that path or by a table. Equal images are kept once within a
class and refused across classes, where one of the two labels must be wrong.
"""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Optional, Sequence, Union

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    DEFAULT_MAX_PIXELS,
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_output,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.fitting import Fit, make_fit
from cellgan_plugin.converters.folder_rules import (
    check_groups_apart,
    class_finder,
    group_finder,
    read_image_table,
    table_classes,
)
from cellgan_plugin.converters.folder_sources import (
    Content,
    Source,
    backgrounds_of,
    check_crop,
    drop_duplicates,
    list_images,
    look_at,
    output_names,
    sort_out,
)
from cellgan_plugin.converters.published_split import find_published_split
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.files import atomic_write
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import digest_of

COLUMNS = (
    'file', 'label', 'split', 'group', 'source', 'width', 'height', 'original_width',
    'original_height', 'factor',
)  # fmt: skip


@writes_folder('out_dir', deep=True)
def convert_folders(
    source: PathLike,
    out_dir: PathLike,
    *,
    class_map: Optional[Mapping[str, Sequence[str]]] = None,
    classes: Optional[Sequence[str]] = None,
    policy: Optional[str] = None,
    size: Union[int, Sequence[int], None] = None,
    mpp_in: Optional[float] = None,
    mpp_out: Optional[float] = None,
    fill: str = 'border',
    include: str = '*',
    table: Optional[PathLike] = None,
    group_regex: Optional[str] = None,
    group_csv: Optional[PathLike] = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    skip_unmatched: bool = False,
    resplit: bool = False,
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
        policy (str, optional): ``'resize'``: the image is scaled until it just covers ``size``,
            then the centre is cut: shapes are kept, the scale is not; ``'crop'``: the centre is
            cut at one scale; ``'pad'``: the same, and smaller images are filled up around;
            ``'keep'``: the image stays as it is, a JPEG even byte for byte. Defaults to
            ``'pad'`` where ``mpp_in`` is given, else to ``'resize'``.
        size (int | Sequence[int], optional): Side or (height, width) in px; not for keep.
            Defaults to 256.
        mpp_in (float, optional): Microns per pixel of the images; with ``mpp_out`` all are scaled
            by one factor, for crop and pad.
        mpp_out (float, optional): Microns per pixel of the result.
        fill (str): What pad fills with: ``'border'``, the median of the image's outermost pixels,
            or ``'background'``, the brightest tenth of the images of its group. Defaults to
            ``'border'``.
        include (str): Only paths (relative, POSIX) that match this pattern, e.g.
            ``'*/CROPPED/*.bmp'``. Defaults to all.
        table (str | Path, optional): CSV with the columns ``file`` (relative path) and ``label``,
            which then tells the class in place of folders; ``patient``, ``group`` or ``slide``
            tells the group; ``split`` (train, val, test), where it is there, is kept as it is.
            So are folders ``train``, ``val`` and ``test``, first or last on every path.
        group_regex (str, optional): Searched in the relative path; the group is the part named
            ``group``, else the first part in parentheses.
        group_csv (str | Path, optional): Columns ``file`` (relative path) and ``group``.
        fractions (Sequence[float]): Of train, val and test. Defaults to 0.7, 0.15, 0.15.
        seed (int): Seed of the split. Defaults to 0.
        skip_unmatched (bool): Leave out images in no folder of a class. Defaults to False: refuse.
        resplit (bool): Draw the split although folders or the table tell one. Defaults to False.
        max_pixels (int): Largest image in px, width x height. Defaults to 64 million.
        progress (bool): Show progress bars on a terminal. Defaults to True.

    Returns:
        ConversionResult: Manifest, counts and summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    fit = make_fit(policy, size, mpp_in, mpp_out, fill)
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
    files = list_images(source, out_dir, include, counts)
    if known is not None:
        absent = sorted(set(known.labels) - set(map(nfc, files)))
        if absent and include == '*':
            raise ConverterError(
                f'{table}: {len(absent)} file(s) are not in {source}: {some_of(absent, 3)}; paths '
                'are relative to that folder'
            )
    sources = sort_out(source, files, find_class, find_group, skip_unmatched, counts)
    notes = rules.check()
    left_out = set(files) - {item.file for item in sources}
    if left_out:
        folders = sorted({str(PurePosixPath(file).parent) for file in left_out})
        notes.append(f'no class is named by {some_of(folders)}')
    splits = None if resplit else _given_split(sources, known and known.splits, table, notes)
    contents = look_at(source, sources, max_pixels, fit.fill == 'background', progress)
    scale = {'factor': fit.factor} if fit.mpp is not None else {}
    fill_used = {'fill': fit.fill} if fit.policy == 'pad' else {}
    record = make_record(
        'folders',
        {
            'classes': classes, 'policy': fit.policy, 'size': _recorded_size(fit),
            'fractions': fractions, 'seed': seed, **scale, **fill_used,
        },
        # Class, group and pixels of every image: whatever led to them (map, pattern, CSV).
        {
            'images': digest_of([[s, contents[s.file].digest] for s in sources]),
            **({'splits': digest_of(list(splits.items()))} if splits else {}),
        },
    )  # fmt: skip
    check_output(out_dir, record)
    sources = drop_duplicates(sources, contents, splits, counts)
    if fit.policy == 'crop':
        check_crop(sources, contents, fit)

    if splits:
        sides = {s.group: splits[nfc(s.file)] for s in sources}
        fractions = tuple(float(name in sides.values()) for name in SPLITS)
    else:
        sides = split_by_group(
            [s.label for s in sources], [s.group for s in sources], fractions, seed
        )
    rows = _rows(sources, contents, sides, fit)
    rows.sort(key=lambda row: (classes.index(row['label']), row['file']))
    waiting = set(begin_output(out_dir, record, [row['file'] for row in rows]))
    todo = [row for row in rows if row['file'] in waiting]
    backgrounds = backgrounds_of(sources, contents) if fit.fill == 'background' else {}
    for row in tqdm(todo, 'convert', unit='image', disable=None if progress else True):
        background = backgrounds.get(row['group'])
        _convert(source / row['source'], out_dir / row['file'], fit, background, max_pixels)
    columns = COLUMNS if fit.mpp is None else (*COLUMNS, 'mpp')
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, columns)
    if fit.policy == 'pad':
        _count_pads(rows, fit, counts)
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


def _given_split(
    sources: Sequence[Source],
    of_table: Optional[Mapping[str, str]],
    table: Optional[PathLike],
    notes: List[str],
) -> Optional[Mapping[str, str]]:
    """Split by file (composed Unicode) that the table or folders tell; said in ``notes``."""
    groups = {nfc(item.file): item.group for item in sources}
    if of_table is not None:
        check_groups_apart(groups, of_table, f'{table}: groups')
        return of_table
    published = find_published_split([item.file for item in sources])
    if published is None:
        return None
    # Where an image is its own group there is none to be torn apart.
    check_groups_apart(groups, published.splits, 'groups', 'give --resplit')
    notes.append(published.line())
    return published.splits


def _recorded_size(fit: Fit) -> Union[int, List[int], None]:
    if fit.area is None:
        return None
    return fit.area[0] if fit.area[0] == fit.area[1] else list(fit.area)


def _rows(
    sources: Sequence[Source], contents: Mapping[str, Content], sides: Mapping[str, str], fit: Fit
) -> List[Dict[str, object]]:
    """Rows of the manifest."""
    names = output_names(sources, contents, fit.policy)
    rows = []
    for item in sources:
        content = contents[item.file]
        height, width = fit.result(content.height, content.width)
        row = {
            'file': names[item.file],
            'label': item.label,
            'split': sides[item.group],
            'group': item.group,
            'source': item.file,
            'width': width,
            'height': height,
            'original_width': content.width,
            'original_height': content.height,
            'factor': f'{fit.scale_of(content.height, content.width):.4g}',
        }
        rows.append(row if fit.mpp is None else {**row, 'mpp': f'{fit.mpp:g}'})
    return rows


def _count_pads(rows: Sequence[Mapping[str, object]], fit: Fit, counts: Counter) -> None:
    """Count what padding had to add and to cut."""
    for row in rows:
        height, width = fit.scaled(row['original_height'], row['original_width'])
        over = (height - row['height'], width - row['width'])
        counts['images filled up around'] += min(over) < 0
        counts['images larger than the size, cut'] += max(over) > 0


def _convert(
    source: Path, target: Path, fit: Fit, background: Optional[np.ndarray], max_pixels: int
) -> None:
    """Write one image."""
    if target.suffix == '.jpg':
        data = source.read_bytes()
        with atomic_write(target) as file:
            file.write(data)
        return
    write_png(target, fit(load_image(str(source), max_pixels=max_pixels), background))
