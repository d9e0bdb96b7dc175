"""Which whole images there are, where their true masks lie, and what the numbers in these mean."""

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.datasets.classes import Spellings
from cellgan_plugin.datasets.file_names import EXTENSIONS, PassedOver, nfc, walk_images
from cellgan_plugin.datasets.image_io import ImageFileError, read_header
from cellgan_plugin.datasets.manifest import MANIFEST_NAME
from cellgan_plugin.datasets.mask_io import (
    MASK_STORAGE,
    load_mask,
    orientation_differs,
    read_mask_header,
)
from cellgan_plugin.datasets.mask_sources import PairLayout, list_pairs
from cellgan_plugin.datasets.problems import printable, raise_or_say
from cellgan_plugin.datasets.segmentation_labels import MaskRule, UnknownMaskValues, make_mask_rule

PathLike = Union[str, Path]


@dataclass(frozen=True)
class WholeImage:
    """One image, and its true mask where there is one.

    Attributes:
        name (str): Path below the folder (of a manifest: the one that all its images are in),
            without extension: what its results are called.
        image (Path): The file.
        mask (Path | None): Its true mask.
        label (str): Of the manifest, e.g. the grade.
        split (str): Of the manifest.
        group (str): Of the manifest: slide or patient.
    """

    name: str
    image: Path
    mask: Optional[Path] = None
    label: str = ''
    split: str = ''
    group: str = ''


def files_by_name(folder: PathLike) -> Dict[str, Path]:
    """Images or masks of a folder and its subfolders, by path below it without extension.

    Raises:
        FileNotFoundError: No such folder, or nothing in it.
        ValueError: Two files have one name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder')
    files: Dict[str, Path] = {}
    passed = PassedOver()
    for file in walk_images(folder, passed):
        name = nfc(str(PurePosixPath(file).with_suffix('')))
        if name in files:
            raise ValueError(
                f'{folder / file} and {files[name].name} have one name; remove one of them'
            )
        files[name] = folder / file
    unread = [*passed.lines(), *(f'{link} is a link and not read' for link in passed.links)]
    if unread:
        print_log(f'{folder}: {"; ".join(map(printable, unread))}', 'current')
    if not files:
        raise FileNotFoundError(f'{folder} has no images ({", ".join(EXTENSIONS)})')
    return files


def list_whole_images(
    source: PathLike,
    split: Optional[Union[str, Sequence[str]]] = None,
    masks: Optional[PathLike] = None,
    mask_suffix: str = '',
    root: Optional[PathLike] = None,
    label_column: str = 'label',
) -> List[WholeImage]:
    """List images by folder or manifest.

    Args:
        source (str | Path): A folder of images, or a CSV manifest (columns ``file`` and perhaps
            ``mask``, ``split``, ``group``, ``label``), or a folder that holds ``manifest.csv``
            when a split is asked for.
        split (str | Sequence[str], optional): Of the manifest. Defaults to None: all rows.
        masks (str | Path, optional): Folder of true masks of the same names. Defaults to None: the
            manifest's ``mask`` column, else none.
        mask_suffix (str): What a mask's name has beyond its image's, e.g. ``'_anno'``.
        root (str | Path, optional): What the manifest's paths are relative to. Defaults to None:
            its folder.
        label_column (str): Of the manifest. Defaults to 'label'.

    Returns:
        list[WholeImage]: Sorted by name, or as listed.

    Raises:
        DatasetError: The manifest cannot be used.
        FileNotFoundError: No such folder, no image, or a mask is missing.
        ValueError: Two images have one name, or :func:`look_at_masks` refuses a pair.
    """
    source = Path(source)
    if split is not None and source.is_dir():
        source = source / MANIFEST_NAME
    if source.suffix.lower() == '.csv':
        images = _of_manifest(source, split, Path(root or source.parent), label_column)
    else:
        images = [WholeImage(name, path) for name, path in files_by_name(source).items()]
        if mask_suffix and masks is not None and Path(masks).resolve() == source.resolve():
            images = [image for image in images if not image.name.endswith(mask_suffix)]
    if masks is not None:
        by_name = files_by_name(masks)
        missing = [image.name for image in images if image.name + mask_suffix not in by_name]
        if missing:
            raise FileNotFoundError(
                f'{masks} has no mask for {len(missing)} of {len(images)} images; the first is '
                f'{missing[0]}{mask_suffix}. It has {len(by_name)} files, e.g. '
                f'{next(iter(by_name))}'
            )
        images = [replace(image, mask=by_name[image.name + mask_suffix]) for image in images]
    look_at_masks(images)
    return images


def look_at_masks(images: Sequence[WholeImage]) -> None:
    """Look at the headers of masks: say what is read as it is stored, refuse turned pairs.

    A file that cannot be read is told when it is read.

    Raises:
        ValueError: Of an image and its mask, one alone has an orientation tag.
    """
    storage: Counter = Counter()
    for image in images:
        if image.mask is None:
            continue
        try:
            mask = read_mask_header(str(image.mask))
            header = mask if image.image == image.mask else read_header(str(image.image))
        except ImageFileError:
            continue
        turned = orientation_differs(header, mask)
        if turned:
            raise ValueError(f'{image.image}: {turned}')
        storage[mask.conversion] += 1
    for kind, count in storage.items():
        if kind:
            print_log(f'{count} masks have {MASK_STORAGE[kind]}', 'current')


def _of_manifest(
    path: Path, split: Optional[Union[str, Sequence[str]]], root: Path, label_column: str
) -> List[WholeImage]:
    splits = (split,) if isinstance(split, str) else split
    layout = PairLayout(str(root), str(path), missing_masks='unlabelled', label_column=label_column)
    listing = list_pairs(layout, splits)
    raise_or_say(listing.problems, str(root))
    # Usually `images`: results need not repeat it.
    shared = os.path.commonpath([os.path.dirname(pair.file) for pair in listing.pairs])
    images = [
        WholeImage(
            PurePosixPath(pair.file).relative_to(shared).with_suffix('').as_posix(),
            root / pair.file,
            root / pair.mask if pair.mask else None,
            pair.label,
            pair.split,
            pair.group,
        )
        for pair in listing.pairs
    ]
    count = Counter(image.name for image in images)
    twice = [name for name, number in count.items() if number > 1]
    if twice:
        raise ValueError(
            f'{path}: {count[twice[0]]} images are called {twice[0]} but for their extension, and '
            'their results would be, too; rename them'
        )
    return images


@dataclass(frozen=True)
class MaskMeaning:
    """What the numbers in true masks mean.

    Attributes:
        classes (tuple[str]): Class names; class 0 is the background.
        mask_map (Mapping[int, int] | None): Stored value -> class id; None: they are class ids.
        instances (str | None): The masks hold object ids: ``'binary'``, all of class 1, or
            ``'label'``, of the class that the manifest names for the image.
    """

    classes: Tuple[str, ...]
    mask_map: Optional[Mapping[int, int]] = None
    instances: Optional[str] = None
    _rule: List[MaskRule] = field(default_factory=list, repr=False, compare=False)
    _labels: List[Spellings] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self):
        self._rule.append(make_mask_rule(self.classes, self.mask_map, self.instances))
        self._labels.append(Spellings(self.classes[1:]))

    def read(self, image: WholeImage) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """The true mask of an image.

        Returns:
            tuple: uint8 (H, W) class ids (255: ignored), and the object ids (H, W), None where the
            masks hold none.

        Raises:
            ImageFileError: The file cannot be read as a mask.
            ValueError: A value or label without a class.
        """
        return self.decode(load_mask(str(image.mask)), image)

    def decode(self, raw: np.ndarray, image: WholeImage) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """As :meth:`read`, of a mask that has been read."""
        label = None
        if self.instances == 'label':
            name = self._labels[0].find(image.label)
            if name is None:
                raise ValueError(
                    f'{image.name}: the label {image.label!r} is none of {list(self.classes[1:])}'
                )
            for _, message in self._labels[0].clashes():
                raise ValueError(f'labels {message}; spell the class one way')
            label = self.classes.index(name)
        try:
            semantic = self._rule[0].classes_of(raw, label)
        except UnknownMaskValues as error:
            raise ValueError(f'{image.mask}: {error}') from error
        return semantic, raw.astype(np.int32) if self.instances else None


def mask_at(
    semantic: np.ndarray, scale: float, unit: int, where: Union[str, Path] = 'a mask'
) -> np.ndarray:
    """A whole mask (H, W) of class ids at a model's resolution, by nearest neighbour; contiguous.

    It is cut to sides that generators can make: multiples of ``unit`` px, so that less than one is
    lost at the lower and right edges. ``where`` names the mask in a message.

    Raises:
        ValueError: A side would be less than a unit.
    """
    height, width = (round(side * scale) for side in semantic.shape)
    if min(height, width) < unit:
        raise ValueError(
            f'{where}: {semantic.shape[1]}x{semantic.shape[0]} px are {width}x{height} at the '
            f'scale of the model, which needs at least {unit} a side: give larger masks'
        )
    fitted = cv2.resize(semantic, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.ascontiguousarray(fitted[: height // unit * unit, : width // unit * unit])
