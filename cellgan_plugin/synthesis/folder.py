"""A folder of synthetic images: which files it holds, who made them, and that nobody else adds."""

import contextlib
import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Union

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.datasets.data_card import (
    CARD_NAME,
    METADATA_NAME,
    seen_facts,
    write_card,
    write_metadata,
)
from cellgan_plugin.datasets.file_history import JpegStyle, encode_jpeg_like
from cellgan_plugin.datasets.image_encoding import encode_image, write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image, read_header
from cellgan_plugin.datasets.inspection import in_threads, with_progress
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, iter_manifest, write_manifest
from cellgan_plugin.errors import OutputError, SynthesisError, explained_output_errors
from cellgan_plugin.files import ABOUT_FOLDER, atomic_write
from cellgan_plugin.records import FolderRecord
from cellgan_plugin.runs.provenance import SYNTHESIS_RECORD, training_images_of
from cellgan_plugin.runs.sampling import LabelAndSeed
from cellgan_plugin.visualization import image_grid

RECORD_NAME = SYNTHESIS_RECORD
SHEET_NAME = 'sheet.png'
COLUMNS = ('file', 'label', 'seed', 'checkpoint_sha256', 'config_sha256')

_PILLOW_NAMES = {'png': 'PNG', 'jpg': 'JPEG', 'tif': 'TIFF', 'webp': 'WEBP'}
_SHEET_CELL = 128  # pixels


def class_file(class_name: str, seed: int, fmt: str) -> str:
    """``<class>/<class>_<seed>.<ext>``, the path of an image below the output folder."""
    return f'{class_name}/{class_name}_{seed:06d}.{fmt}'


def sheet_file(root: Union[str, Path]) -> Path:
    """Where the sheet of an output folder lies."""
    return Path(root) / ABOUT_FOLDER / SHEET_NAME


def check_folder_names(classes: Sequence[str]) -> None:
    """ValueError for a class name that is no name of a folder."""
    for name in classes:
        if name[:1] == '.' or name.strip() != name or re.search(r'[/\\:\0]', name):
            raise SynthesisError(
                f'class {name!r} cannot be the name of a folder: rename it in '
                'train_dataloader.dataset.metainfo.classes'
            )


class SynthesisFolder:
    """Reads and writes one output folder.

    Args:
        root (str | Path): The folder; need not exist.

    Attributes:
        jpeg (JpegStyle | None): How JPEGs are compressed; None: quality 95 without subsampling.
    """

    def __init__(self, root: Union[str, Path]):
        self.root = Path(root).expanduser()
        self.record = FolderRecord(root, RECORD_NAME)
        self.jpeg: Optional[JpegStyle] = None
        self.manifest_path = self.root / MANIFEST_NAME

    def complete(self, record: Dict[str, Any]) -> Set[LabelAndSeed]:
        """Images that are there and whole: right format and size, and an end.

        Files are read only at their two ends (about 0.1 ms each). Damaged ones (from a copy that
        broke off, say: this program writes whole files) are named in the log and left out.
        """
        fmt = record['protocol']['image_format']
        height, width, channels = record['image_shape']
        rows = self._named(record['protocol']['classes'], fmt)

        def whole(row: LabelAndSeed) -> bool:
            name = record['protocol']['classes'][row[0]]
            try:
                header = read_header(
                    str(self.root / class_file(name, row[1], fmt)), channels, height * width
                )
            except ImageFileError:
                return False
            return (
                header.complete
                and (header.height, header.width) == (height, width)
                and header.format == _PILLOW_NAMES[fmt]
            )

        found = list(with_progress(in_threads(whole, rows), len(rows), 'Looking at what is there'))
        damaged = [row for row, good in zip(rows, found, strict=True) if not good]
        if damaged:
            label, seed = damaged[0]
            first = class_file(record['protocol']['classes'][label], seed, fmt)
            print_log(
                f'{len(damaged)} files in {self.root} are damaged or cut off ({first}, ...): they '
                'are made again where they are asked for, and not listed in the manifest otherwise',
                level=30,
            )
        return set(rows) - set(damaged)

    def _named(self, classes: Sequence[str], fmt: str) -> List[LabelAndSeed]:
        rows = []
        for label, name in enumerate(classes):
            pattern = re.compile(rf'{re.escape(name)}_(\d{{6,}})\.{fmt}')
            if not (self.root / name).is_dir():
                continue
            with os.scandir(self.root / name) as entries:
                matches = [pattern.fullmatch(entry.name) for entry in entries]
            rows += [(label, int(match[1])) for match in matches if match]
        return sorted(rows)

    def check_room(self, images: int, bytes_per_image: float) -> None:
        """OutputError when the images to come would not fit on the disk."""
        place = self.root
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        needed = images * bytes_per_image
        if needed > free:
            raise OutputError(
                errno.ENOSPC,
                f'{images} images need about {shown_size(needed)}, and {shown_size(free)} are free '
                f'on the disk of {self.root}. Nothing was written: make room, or choose another '
                'folder, fewer images or a smaller format (--format webp, jpg)',
            )
        if hasattr(os, 'statvfs'):
            entries = os.statvfs(place)
            if entries.f_files and entries.f_favail < images:
                raise OutputError(
                    errno.ENOSPC,
                    f'the disk of {self.root} has room for {entries.f_favail} more files, not for '
                    f'{images}. Nothing was written: choose another folder',
                )

    def encode(self, image: np.ndarray, fmt: str) -> bytes:
        """An image as a file: a JPEG in :attr:`jpeg` where that is given."""
        if self.jpeg is not None and fmt == 'jpg':
            return encode_jpeg_like(image, self.jpeg)
        return encode_image(image, fmt)

    def write_image(self, class_name: str, seed: int, fmt: str, image: np.ndarray) -> int:
        """Encode and write one image, whole or not at all; returns its bytes."""
        encoded = self.encode(image, fmt)
        with explained_output_errors(self.root):
            with atomic_write(self.root / class_file(class_name, seed, fmt)) as file:
                file.write(encoded)
        return len(encoded)

    def listed(self, classes: Sequence[str]) -> Set[LabelAndSeed]:
        """Images of the manifest; empty where there is none, or none that can be read."""
        labels = {name: label for label, name in enumerate(classes)}
        try:
            return {
                (labels[row['label']], int(row['seed']))
                for _, row in iter_manifest(self.manifest_path)
            }
        except (KeyError, ValueError):  # missing, damaged or somebody else's: it is written anew
            return set()

    def check_written(self, record: Dict[str, Any], rows: Set[LabelAndSeed]) -> None:
        """OutputError when an image is not there (written elsewhere and not visible here)."""
        protocol = record['protocol']
        fmt, classes = protocol['image_format'], protocol['classes']
        missing = sorted(rows - set(self._named(classes, fmt)))
        if missing:
            first = class_file(classes[missing[0][0]], missing[0][1], fmt)
            raise OutputError(
                errno.ENOENT,
                f'{len(missing)} images were written but are not in {self.root} ({first}, ...): do '
                'all processes see the same folder? The same command makes what is missing',
            )

    @property
    def handed_over(self) -> bool:
        """Whether metadata and card are there."""
        return all((self.root / name).is_file() for name in (METADATA_NAME, CARD_NAME))

    @staticmethod
    def _lines(record: Dict[str, Any], rows: Set[LabelAndSeed]) -> List[Dict[str, Any]]:
        """One row of the manifest per image, by class and seed."""
        protocol = record['protocol']
        fmt, classes = protocol['image_format'], protocol['classes']
        hashes = {key: protocol[key] for key in COLUMNS[3:]}
        return [
            dict(
                file=class_file(classes[label], seed, fmt),
                label=classes[label],
                seed=seed,
                **hashes,
            )
            for label, seed in sorted(rows)
        ]

    def write_manifest(self, record: Dict[str, Any], rows: Set[LabelAndSeed]) -> Path:
        """Write ``manifest.csv``: one row per image, by class and seed."""
        with explained_output_errors(self.root):
            return write_manifest(self.manifest_path, self._lines(record, rows), COLUMNS)

    def write_card(self, record: Dict[str, Any], rows: Set[LabelAndSeed]) -> None:
        """Write ``metadata.csv`` and ``README.md``, by which others load the images.

        Args:
            record (dict): Of the folder.
            rows (set): Its images.
        """
        protocol = record['protocol']
        facts = [
            ('Generator, config', Path(record['config']).name),
            ('Generator, weights', Path(record['checkpoint']).name),
            ('Iteration', record.get('iteration')),
            ('Size of an image', ' x '.join(map(str, record['image_shape']))),
            *((key, protocol[key]) for key in sorted(protocol) if key != 'classes'),
            *seen_facts(training_images_of(self.root)),
        ]
        lines = self._lines(record, rows)
        title = f'Synthetic images: {self.root.resolve().name}'
        sheet = SHEET_NAME if sheet_file(self.root).is_file() else ''
        with explained_output_errors(self.root):
            write_metadata(self.root, lines)
            write_card(self.root, title, lines, facts, 'tools/synthesize.py', sheet)

    def write_sheet(self, record: Dict[str, Any], rows: Set[LabelAndSeed], columns: int) -> Path:
        """Draw the first images of every class."""
        protocol = record['protocol']
        fmt, classes = protocol['image_format'], protocol['classes']
        pictures, titles = [], []
        for label, name in enumerate(classes):
            seeds = sorted(seed for other, seed in rows if other == label)[:columns]
            if seeds:
                files = [str(self.root / class_file(name, seed, fmt)) for seed in seeds]
                pictures.append([load_image(file) for file in files])
                titles.append(name)
        scale = _SHEET_CELL / record['image_shape'][0]
        sheet = image_grid(pictures, row_titles=titles, scale=scale)
        with explained_output_errors(self.root):
            write_png(sheet_file(self.root), sheet)
            (self.root / SHEET_NAME).unlink(missing_ok=True)  # of an older version
        return sheet_file(self.root)

    def remove_litter(self, classes: Sequence[str], before: float) -> None:
        """Delete temporary files that killed processes left before a time (``time.time()``)."""
        for name in classes:
            for path in (self.root / name).glob('.*.tmp'):
                with contextlib.suppress(FileNotFoundError):  # another process deletes them too
                    if path.stat().st_mtime < before:
                        path.unlink()


def shown_size(number: float) -> str:
    """Bytes as a person reads them."""
    for unit in ('B', 'kB', 'MB', 'GB'):
        if number < 1000:
            return f'{number:.0f} {unit}' if unit in ('B', 'kB') else f'{number:.1f} {unit}'
        number /= 1000
    return f'{number:.1f} TB'
