"""The folder that a selection writes."""

import errno
import os
import time
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any, Callable, List, Mapping, Optional, Sequence, Union

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.content_hash import (
    TRAINING_IMAGES,
    Hashes,
    merge_hashes,
    read_training_images,
    training_images_file,
    write_provenance,
)
from cellgan_plugin.datasets.data_card import seen_facts, write_card, write_metadata
from cellgan_plugin.datasets.file_names import fit_name
from cellgan_plugin.datasets.inspection import resolve_inside
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.errors import explained_output_errors
from cellgan_plugin.files import ABOUT_FOLDER, SCORES_FOLDER, atomic_write
from cellgan_plugin.records import FolderRecord
from cellgan_plugin.runs.provenance import training_images_of
from cellgan_plugin.selection.image_tree import ImageTree, SelectionError
from cellgan_plugin.selection.table import SelectionTable

RECORD_NAME = 'selection.json'
SCORES_NAME = 'scores.csv'
LINKS = ('hard', 'symbolic')
_OWN_COLUMNS = ('source', 'entropy', 'distance', 'confidence')


def output_names(files: Sequence[str], labels: np.ndarray, classes: Sequence[str]) -> List[str]:
    """``<class>/<name>`` of every candidate in the output folder.

    Below a class folder the path stays; of other layouts folders become part of the name.

    Raises:
        SelectionError: Two candidates would have one name.
    """
    names = []
    for file, label in zip(files, labels.tolist(), strict=True):
        first, *rest = PurePosixPath(file).parts
        in_folder = rest and resolve_class(first, classes) == classes[label]
        flat = PurePosixPath(file.replace('/', '__'))
        names.append('/'.join([classes[label], *rest]) if in_folder else
                     f'{classes[label]}/{fit_name(flat.stem, flat.suffix, file)}')  # fmt: skip
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        both = [file for file, name in zip(files, names, strict=True) if name == twice[0]]
        raise SelectionError(f'{both[0]} and {both[1]} would both be {twice[0]}: rename one')
    return names


class SelectionFolder:
    """Writes one output folder.

    Args:
        root (str | Path): The folder; need not exist.
    """

    def __init__(self, root: Union[str, Path]):
        self.root = Path(root).expanduser().resolve()
        self.record = FolderRecord(self.root, RECORD_NAME, keep=[SCORES_FOLDER])

    @property
    def about(self) -> Path:
        """Where pictures of the selection lie: others would take them for selected images."""
        return self.root / ABOUT_FOLDER

    def _write_card(self, rows: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> None:
        protocol = record['protocol']
        facts = [
            ('Candidates', Path(record['candidates']).name),
            ('Real images', Path(record['real']).name),
            *((key, protocol[key]) for key in sorted(protocol) if key != 'classes'),
            *seen_facts(training_images_of(self.root)),
        ]
        title = f'Selected synthetic images: {self.root.name}'
        write_card(self.root, title, rows, facts, 'tools/select_images.py', 'best_worst.png')

    def check(self, candidates: ImageTree) -> None:
        """SelectionError for a folder among the candidates; RecordError for somebody else's."""
        if self.root == candidates.root or candidates.root in self.root.parents:
            raise SelectionError(
                f'the output folder {self.root} lies in the candidates {candidates.root}: choose '
                'another one'
            )
        self.record.check({}, overwrite=True)

    def write_images(
        self, table: SelectionTable, candidates: ImageTree, link: Optional[str]
    ) -> List[str]:
        """Copy or link what was kept.

        Returns:
            list[str]: Names of all candidates in this folder, kept or not.
        """
        names = output_names(table.files, table.labels, table.classes)
        with explained_output_errors(self.root):
            (self.root / MANIFEST_NAME).unlink(missing_ok=True)  # it says that all is there
            for name, file, kept in zip(names, table.files, table.kept, strict=True):
                if kept:
                    file = resolve_inside(str(candidates.root), str(candidates.root / file))
                    _place(Path(file), self.root / name, link)
        return names

    def write_manifest(
        self,
        table: SelectionTable,
        names: Sequence[str],
        candidates: ImageTree,
        record: Mapping[str, Any],
    ) -> Path:
        """Write ``manifest.csv``: the candidates' columns, where each came from, its scores.

        Before it, ``metadata.csv`` and ``README.md``, by which others load the images.
        """
        first = next(iter(candidates.rows.values()), {})
        columns = [c for c in first if c not in ('file', 'label', *_OWN_COLUMNS)]
        rows = []
        for index in np.flatnonzero(table.kept):
            row = table.row(index)
            before = candidates.rows.get(row['file'], {})
            rows.append(
                dict(
                    {name: before.get(name, '') for name in columns},
                    file=names[index],
                    label=row['label'],
                    source=row['file'],
                    **{name: row[name] for name in _OWN_COLUMNS[1:]},
                )
            )
        with explained_output_errors(self.root):
            write_metadata(self.root, rows)
            self._write_card(rows, record)
            return write_manifest(
                self.root / MANIFEST_NAME, rows, ['file', 'label', *columns, *_OWN_COLUMNS]
            )

    def write_training_images(
        self, candidates: ImageTree, chosen_by: Callable[[], Sequence[Hashes]]
    ) -> bool:
        """Write ``training_images.txt``, by which leaks are found; say so where it cannot be.

        A choice depends on the images that made the centroids and the classifier as it does on
        those that trained the generator.

        Args:
            candidates (ImageTree): With the list of their generator, where there is one.
            chosen_by (Callable): Gives the hashes of the images behind the choice.
        """
        source = training_images_file(candidates.root)
        if source.is_file():
            hashes = merge_hashes(read_training_images(source), *chosen_by())
            write_provenance(self.root, hashes)
            return True
        write_provenance(self.root, None)
        print_log(
            f'{candidates.root} has no {TRAINING_IMAGES}: the benchmark cannot rule out that its '
            'test images trained the generator',
            level=30,
        )
        return False


def _place(source: Path, target: Path, link: Optional[str]) -> None:
    """One image, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link is None:
        with atomic_write(target) as file:
            file.write(source.read_bytes())
        return
    target.unlink(missing_ok=True)
    try:
        if link == 'hard':
            os.link(source, target)
        else:
            os.symlink(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        raise SelectionError(
            f'{target} cannot be a {link} link to {source} ({error.strerror}): links of this kind '
            'are not possible there. Leave --link out, which copies'
        ) from error


def now() -> str:
    """The time for a record."""
    return time.strftime('%Y-%m-%dT%H:%M:%S')
