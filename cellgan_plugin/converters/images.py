"""A converter in one function: images with class and group -> class folders with a manifest.

What a converter of one archive has to say is which images there are and how one is read. Checking,
splitting by group, continuing an interrupted run and the manifest are done here.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from cellgan_plugin.converters.common import (
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_area,
    check_classes,
    check_output,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.fitting import fit_area
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.file_names import MAX_NAME_BYTES, fit_name, nfc
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.files import file_sha256
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.records import digest_of

COLUMNS = ('file', 'label', 'split', 'group', 'source')


@dataclass(frozen=True)
class SourceImage:
    """One image of an archive.

    Attributes:
        name (str): Of the file to write, without ending; unique within its class.
        label (str): Its class.
        group (str): Slide, field or patient: images of one group stay on one side of the split.
        image (str | Path | Callable): The file, or a function that returns uint8 (H, W, 3), RGB.
        source (str): Where it comes from, for the manifest. Defaults to '': the file's name.
        split (str): 'train', 'val' or 'test', where the archive says it of every image. Defaults
            to '': drawn by group.
    """

    name: str
    label: str
    group: str
    image: Union[PathLike, Callable[[], np.ndarray]]
    source: str = ''
    split: str = ''

    @property
    def file(self) -> str:
        """Relative to the output folder."""
        return f'{self.label}/{self.name}.png'

    def read(self) -> np.ndarray:
        """The image as uint8 (H, W, 3), RGB."""
        image = self.image() if callable(self.image) else load_image(str(self.image))
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ConverterError(
                f'{self.where}: got {array.dtype} of shape {array.shape}; uint8 (H, W, 3) expected'
            )
        return array

    @property
    def content(self) -> str:
        """Digest of its file; of a function nothing is known but where it says to read."""
        return self.where if callable(self.image) else file_sha256(self.image)

    @property
    def where(self) -> str:
        """For the manifest and for messages."""
        return self.source or ('' if callable(self.image) else Path(self.image).name) or self.name


@writes_folder('out_dir', deep=True)
def convert_images(
    converter: str,
    images: Iterable[SourceImage],
    out_dir: PathLike,
    classes: Sequence[str],
    *,
    size: Union[int, Tuple[int, int], None] = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    parameters: Optional[Mapping[str, object]] = None,
    progress: bool = True,
) -> ConversionResult:
    """Write the images of an archive as a data set of this plugin.

    The same call continues what was interrupted; with other images or parameters it is refused.

    Args:
        converter (str): Name of the converter, for ``conversion.json``.
        images (Iterable[SourceImage]): All of them; they are read one at a time, while writing.
        out_dir (str | Path): New, empty, or of the same call.
        classes (Sequence[str]): In the order of the labels.
        size (int | tuple[int, int], optional): Side, or height and width: images are scaled until
            they just cover it, and their centre is cut. Defaults to None: as they are.
        fractions (Sequence[float]): Of train, val and test. Defaults to (0.7, 0.15, 0.15).
        seed (int): Of the split. Defaults to 0.
        parameters (Mapping, optional): What else the output depends on, as JSON values; of images
            that are functions, the content of what they read.
        progress (bool): Show a progress bar on a terminal. Defaults to True.

    Returns:
        ConversionResult: Manifest, rows, counts and summary.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    classes, fractions = check_classes(classes), check_fractions(fractions)
    size = None if size is None else check_area(size)
    images = _checked(list(images), classes)
    given = bool(images[0].split)
    record = make_record(
        converter,
        {
            'classes': list(classes), 'size': size, **({} if given else {'fractions': fractions}),
            'seed': seed, **(parameters or {}),
        },
        {'images': digest_of([[i.file, i.group, i.split, i.content] for i in images])},
    )  # fmt: skip
    check_output(out_dir, record)
    if given:
        sides = {image.group: image.split for image in images}
        fractions = [float(name in sides.values()) for name in SPLITS]
    else:
        labels, groups = [i.label for i in images], [i.group for i in images]
        sides = split_by_group(labels, groups, fractions, seed)
    by_file = {image.file: image for image in images}
    rows: List[Dict[str, object]] = [
        dict(
            file=image.file,
            label=image.label,
            split=sides[image.group],
            group=image.group,
            source=image.where,
        )
        for image in sorted(images, key=lambda image: (classes.index(image.label), image.file))
    ]
    waiting = begin_output(out_dir, record, [row['file'] for row in rows])
    for file in tqdm(waiting, 'convert', unit='image', disable=None if progress else True):
        pixels = by_file[file].read()
        if size is not None:
            pixels = fit_area(pixels, size, resize=True)
        write_png(Path(out_dir) / file, pixels)
    manifest = write_manifest(Path(out_dir) / MANIFEST_NAME, rows, COLUMNS)
    lines = split_table(rows, classes, fractions)
    lines.append(f'{len(waiting)} images written, {len(rows) - len(waiting)} were there already')
    return ConversionResult(manifest, rows, {'images in the output': len(rows)}, lines)


def _checked(images: List[SourceImage], classes: Sequence[str]) -> List[SourceImage]:
    """Refuse names, classes, groups and splits that cannot be."""
    if not images:
        raise ConverterError('there is no image to convert; is this the right folder?')
    unknown = sorted({image.label for image in images} - set(classes))
    if unknown:
        raise ConverterError(f'classes {unknown} are none of {list(classes)}')
    bad = [
        i.where
        for i in images
        if not re.fullmatch(r'\w[\w.+-]*', i.name) or fit_name(i.name, '.png') != f'{i.name}.png'
    ]
    if bad:
        raise ConverterError(
            f'{len(bad)} name(s) cannot be file names ({some_of(bad, 3)}): letters, digits, "_", '
            f'".", "+" and "-" only, up to {MAX_NAME_BYTES} bytes with .png'
        )
    met = Counter(nfc(image.file).casefold() for image in images)
    twice = sorted(file for file, count in met.items() if count > 1)
    if twice:
        raise ConverterError(f'{len(twice)} name(s) occur twice in a class: {some_of(twice, 3)}')
    lost = [image.where for image in images if not image.group]
    if lost:
        raise ConverterError(f'{len(lost)} images have no group: {some_of(lost, 3)}')
    splits = {image.split for image in images}
    if splits != {''} and not splits <= set(SPLITS):
        raise ConverterError(
            f'splits are {sorted(splits)}; expected one of {", ".join(SPLITS)} for every image, or '
            'none at all'
        )
    home: Dict[str, str] = {}
    both = sorted({i.group for i in images if home.setdefault(i.group, i.split) != i.split})
    if both:
        raise ConverterError(f'{len(both)} group(s) are in two splits: {some_of(both, 3)}')
    return images
