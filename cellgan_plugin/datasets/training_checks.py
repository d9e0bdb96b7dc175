"""What is checked of a data set's files before the first step."""

import filecmp
import os
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.logging import print_log

from cellgan_plugin.datasets.image_io import ImageFileError
from cellgan_plugin.datasets.inspection import (
    Inspection,
    in_threads,
    inspect_file,
    with_progress,
)
from cellgan_plugin.datasets.interfaces import ListedPatches
from cellgan_plugin.datasets.problems import ERROR, DatasetError, Problem, raise_or_say
from cellgan_plugin.datasets.sources import Patch


def check_files(dataset: ListedPatches, decode: bool) -> np.ndarray:
    """Look at the files of a data set, and at those of the manifest's other splits.

    At most ``dataset.check_limit`` of each are opened, unless all are decoded. Warnings and notes
    are said, once per kind.

    Args:
        dataset (ListedPatches): Listed, perhaps not fully initialised.
        decode (bool): Decode every file, not only those whose end looks cut off.

    Returns:
        np.ndarray: int32 (N, 2): height and width after the pipeline of every image that was
        looked at.

    Raises:
        DatasetError: With every error found.
    """
    reader, count = dataset.reader, dataset.stored_length()
    # A cache decodes every file anyway and needs to know every size.
    limit = None if decode or dataset.cache else dataset.check_limit
    looked_at = evenly_spaced(count, limit, dataset.root)

    def look(index: int) -> Tuple[dict, Inspection]:
        info = dataset.stored_info(index)
        found = inspect_file(reader, info['file'], dataset.output_shape, decode)
        return info, found._replace(image=None)

    problems: List[Problem] = []
    shapes = np.zeros((len(looked_at), 2), dtype=np.int32)
    first_with: Dict[int, int] = {}  # fingerprint -> index of the first file that has it
    looks = with_progress(in_threads(look, looked_at), len(looked_at), 'Checking images')
    for place, (info, (header, shape, found, _)) in enumerate(looks):
        problems += found
        if header is None or shape is None:
            continue
        shapes[place] = shape
        other = dataset.stored_info(first_with.setdefault(header.fingerprint, looked_at[place]))
        if other['gt_label'] != info['gt_label']:
            problems += _if_identical(dataset, other, info)
    problems += _across_splits(dataset, first_with, limit)
    raise_or_say(problems, dataset.root)
    if not any(hasattr(t, 'output_shape') for t in dataset.pipeline.transforms):
        _require_one_size(dataset, looked_at, shapes)
    return shapes


def evenly_spaced(count: int, limit: Optional[int], what: str) -> Sequence[int]:
    """At most ``limit`` of ``count`` numbers from 0 on, evenly spaced.

    Where that leaves some of the data set ``what`` out, the log says so.
    """
    if limit is None or count <= limit:
        return range(count)
    print_log(
        f'{what}: {limit} of {count} files, evenly spaced, are looked at before the first step '
        '(check_limit); one of the others that cannot be read stops training when it is drawn. '
        '`python tools/check_dataset.py CONFIG` looks at all',
        'current',
    )
    return (np.arange(limit, dtype=np.int64) * count // limit).tolist()


def _if_identical(dataset: ListedPatches, first: dict, second: dict) -> List[Problem]:
    paths = [dataset.reader.path(info['file']) for info in (first, second)]
    if not filecmp.cmp(*paths, shallow=False):
        return []
    names = [dataset.classes[info['gt_label']] for info in (first, second)]
    message = (
        f'is the same file as {paths[0]}, in class {names[0]!r} and again in {names[1]!r}. '
        'Keep the one whose label is right'
    )
    return [Problem(ERROR, 'two classes', paths[1], message)]


def _across_splits(
    dataset: ListedPatches, first_with: Dict[int, int], limit: Optional[int]
) -> List[Problem]:
    """Groups and byte-identical files that this split shares with the manifest's others.

    Only for training. All groups are compared, files as far as ``limit`` lets them be opened. Files
    of other splits that cannot be read are not mentioned: nothing here needs them.
    """
    if dataset.split is None or dataset.test_mode or dataset.check == 'none':
        return []
    reader = dataset.reader
    others = dataset.list_sources(all_splits=True).patches
    others = [patch for patch in others if patch.split != dataset.split]
    groups: Dict[str, str] = {}  # of this split -> first file, taken out when reported
    for index in range(dataset.stored_length() if others else 0):
        info = dataset.stored_info(index)
        groups.setdefault(info.get('group', ''), info['file'])
    groups.pop('', None)

    def look(index: int) -> Tuple[Patch, Optional[int]]:
        try:
            return others[index], reader.header(others[index].file).fingerprint
        except ImageFileError:
            return others[index], None

    problems: List[Problem] = []
    for patch in others:
        if patch.group in groups:
            where, split = os.path.join(reader.root, patch.file), patch.split or 'none'
            first = os.path.join(reader.root, groups.pop(patch.group))
            message = (
                f'is in split {split!r}, but {first} of the same group {patch.group!r} (one '
                f'slide, field or patient) is in split {dataset.split!r}. Keep each group on one '
                'side'
            )
            problems.append(Problem(ERROR, 'group in two splits', where, message))
    chosen = evenly_spaced(len(others), limit, f'{dataset.root}, other splits')
    looks = with_progress(in_threads(look, chosen), len(chosen), 'Comparing splits')
    for patch, fingerprint in looks:
        where, split = os.path.join(reader.root, patch.file), patch.split or 'none'
        if fingerprint in first_with:
            first = reader.path(dataset.stored_info(first_with[fingerprint])['file'])
            if filecmp.cmp(first, where, shallow=False):
                message = (
                    f'is in split {split!r}, and the same file as {first} in split '
                    f'{dataset.split!r}. Keep one'
                )
                problems.append(Problem(ERROR, 'two splits', where, message))
    return problems


def _require_one_size(dataset: ListedPatches, looked_at: Sequence[int], shapes: np.ndarray) -> None:
    different = np.flatnonzero((shapes != shapes[0]).any(axis=1))
    if len(different) and not dataset.test_mode:
        place = int(different[0])
        (height, width), (first_height, first_width) = shapes[place], shapes[0]
        message = (
            f'is {width}x{height}, but {dataset.stored_info(0)["file"]} is '
            f'{first_width}x{first_height} ({len(different)} files differ from it). Put '
            "dict(type='FitCellPatch', out_size=...) first in the pipeline"
        )
        where = os.path.join(dataset.root, dataset.stored_info(looked_at[place])['file'])
        raise DatasetError([Problem(ERROR, 'wrong size', where, message)])
