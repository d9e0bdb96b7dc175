"""Compare two trees of class folders: what ``tools/evaluate_folders.py`` does, for a notebook."""

import re
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log

from cellgan_plugin.datasets import BETHESDA_CLASSES, CellPatchDataset, resolve_class
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.manifest import MANIFEST_NAME
from cellgan_plugin.errors import check_known
from cellgan_plugin.evaluation.class_table import (
    HALVES,
    TRAINED,
    class_floors,
    class_table,
    training_neighbours,
)
from cellgan_plugin.evaluation.extractors import FeatureExtractor, build_extractor
from cellgan_plugin.evaluation.nearest_sheet import NEAREST, nearest_sheet
from cellgan_plugin.evaluation.neighbours import TrainingNeighbours
from cellgan_plugin.evaluation.statistics_cache import describe_dataset, real_features
from cellgan_plugin.evaluation.table_distances import TableOptions
from cellgan_plugin.files import is_hidden
from cellgan_plugin.records import FolderRecord
from cellgan_plugin.runs.test import write_report
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.tables import text_table


class ListedFolder(NamedTuple):
    """Images of a folder by a list that may lie elsewhere.

    Attributes:
        root (str): The folder.
        ann_file (str): List or manifest, absolute or in the folder.
        split (str | None): Of the manifest.
    """

    root: str
    ann_file: str
    split: Optional[str] = None

    def __str__(self) -> str:
        return f'{self.root}:{self.split}' if self.split else self.root


Folder = Union[str, Path, ListedFolder]


def class_folders(folder: Folder) -> List[str]:
    """Names of the class folders of a tree, sorted.

    Raises:
        FileNotFoundError: No such folder.
        ValueError: It has no class folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is no folder')
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name))
    if not names:
        raise ValueError(
            f'{folder} has no class folders; expected {folder}/<class>/<image> (or a manifest: '
            'give the classes and --ann-file)'
        )
    return names


def folder_dataset(
    folder: Folder,
    classes: Sequence[str],
    size: Optional[int] = None,
    ann_file: str = '',
    split: Optional[str] = None,
) -> CellPatchDataset:
    """A tree of class folders as a data set for evaluation: no flips, empty classes allowed.

    Args:
        folder (str | Path): ``<folder>/<class>/**/<image>``.
        classes (Sequence[str]): Class names; images of others are left out.
        size (int, optional): Cut and resize to this side. Defaults to None: as they are.
        ann_file (str): List or manifest in the folder. Defaults to '': folders.
        split (str, optional): Of the manifest. Defaults to None.
    """
    pipeline: List[dict] = [dict(type='PackCellInputs')]
    if size:
        pipeline.insert(0, dict(type='FitCellPatch', out_size=size))
    return CellPatchDataset(
        data_root=str(folder),
        ann_file=ann_file,
        split=split,
        metainfo=dict(classes=list(classes)),
        extra_classes='skip',
        pipeline=pipeline,
        test_mode=True,
    )


def split_name(folder: Folder) -> Tuple[str, str, Optional[str]]:
    """``DIR`` or ``DIR:SPLIT``, the latter reading the manifest in DIR."""
    if isinstance(folder, ListedFolder):
        return tuple(folder)
    folder = str(folder)
    if not Path(folder).is_dir() and ':' in folder:
        base, _, split = folder.rpartition(':')
        if (Path(base) / MANIFEST_NAME).is_file():
            return base, MANIFEST_NAME, split
    return folder, '', None


def evaluate_folders(
    real: Folder,
    fake: Folder,
    extractor: Union[dict, FeatureExtractor],
    classes: Optional[Sequence[str]] = None,
    distances: Sequence[str] = ('fd', 'kid', 'prdc'),
    training: Optional[Folder] = None,
    options: Optional[dict] = None,
    size: Optional[int] = None,
    work_dir: Optional[Folder] = None,
    cache_dir: Optional[Folder] = None,
    batch_size: int = 32,
    num_workers: int = 0,
    device: Optional[str] = None,
    overwrite: bool = False,
) -> Dict[str, Any]:
    """Compare two trees of class folders by the rule that evaluates the plugin's own models.

    Args:
        real (str | Path | ListedFolder): Real images, ``<real>/<class>/<image>``, or ``DIR:SPLIT``
            for a split of the manifest in DIR.
        fake (str | Path | ListedFolder): Generated images, likewise.
        extractor (dict | FeatureExtractor): The features.
        classes (Sequence[str], optional): Defaults to None: every folder of either tree.
        distances (Sequence[str]): Of 'fd', 'kid', 'prdc', 'fd_inf' and registered ones.
        training (str | Path, optional): Images the generator was trained on: adds the memorisation
            score, calibrated on ``real`` where that is another folder. Defaults to None.
        options (dict, optional): Further options of ``TableOptions``.
        size (int, optional): Cut and resize every image to this side first. Defaults to None.
        work_dir (str | Path, optional): Write ``evaluation.jsonl``, CSV and PNG there.
        cache_dir (str | Path, optional): Of features; see ``cache_folder``.
        batch_size (int): Images at a time. Defaults to 32.
        num_workers (int): Loader workers. Defaults to 0.
        device (str, optional): Defaults to None: a GPU where there is one.
        overwrite (bool): Replace tables in ``work_dir`` that are of other images or settings.
            Defaults to False.

    Beside every distance its floor is computed: that between real images and other real ones. With
    training images and a work directory, ``evaluation_<fake>_nearest.png`` shows the generated
    images that are nearest to a training image, and that one.

    Returns:
        dict: ``rows``, ``protocol``, ``seconds`` and, with a work directory, ``files``. A class on
        one side only is a row that is not computable.

    Raises:
        FileNotFoundError: A folder or the extractor's weights are missing.
        RecordError: ``work_dir`` has tables of that name, of other images or settings.
        ValueError: No class folders, or options that do not fit.
    """
    started = time.perf_counter()
    check_known('options', options or {}, {f.name for f in fields(TableOptions)})
    table_options = TableOptions(distances=tuple(distances), **(options or {}))
    trees = [split_name(folder) for folder in (real, fake)]
    if classes is None:
        found = [class_folders(folder) for folder, _, _ in trees]
        # A folder of the second tree that is spelled a little otherwise is that of the first.
        merged = [*found[0], *(n for n in found[1] if resolve_class(n, found[0]) is None)]
        order = {name: index for index, name in enumerate(BETHESDA_CLASSES)}
        classes = sorted(merged, key=lambda name: order.get(name, len(order)))
    network = build_extractor(extractor)
    network.check_classes(classes)
    network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))

    names = ['real', 'generated', 'training']
    trees += [] if training is None else [split_name(training)]
    datasets = {
        tree: folder_dataset(tree[0], classes, size, tree[1], tree[2])
        for tree in dict.fromkeys(trees)
    }
    stem = 'evaluation_' + re.sub(r'[^\w.-]+', '_', Path(str(fake)).resolve().name)
    record = None
    if work_dir is not None:
        described = {tree: describe_dataset(dataset) for tree, dataset in datasets.items()}
        record = FolderRecord(work_dir, f'{stem}.json', shared=True)
        made_from = dict(
            extractor=network.fingerprint,
            options=asdict(table_options),
            size=size,
            **{name: described[tree] for name, tree in zip(names, trees, strict=False)},
        )
        record.check(made_from, overwrite=overwrite)
    features = {
        tree: real_features(
            dataset,
            network,
            cache_dir,
            batch_size,
            num_workers,
            f'{names[trees.index(tree)]} images',
        )
        for tree, dataset in datasets.items()
    }
    real_set, fake_set, training_set = (*(features[tree] for tree in trees), None)[:3]
    held_out = None if training_set is real_set else real_set
    names_and_options = network.frechet_name, network.kernel_name, table_options
    neighbours = None
    if training_set is not None:
        neighbours = training_neighbours(fake_set, training_set, held_out, table_options)
    others = training_set if held_out is not None else None
    counts = list(fake_set.counts().values())
    floors = class_floors(real_set, counts, *names_and_options, others)
    rows = class_table(
        real_set, fake_set, *names_and_options, training_set, held_out, neighbours, floors
    )
    report = dict(
        protocol=dict(
            extractor=network.describe(),
            extractor_fingerprint=network.fingerprint,
            real=real_set.source,
            generated=fake_set.source,
            training=None if training_set is None else training_set.source,
            distances=list(table_options.distances),
            k=table_options.k,
            floor=HALVES if others is None else TRAINED,
            size=size,
            cellgan_plugin=__version__,
            torch=torch.__version__,
        ),
        rows=[row.as_dict() for row in rows],
        seconds=round(time.perf_counter() - started, 3),
    )
    print_log(f'{fake} against {real}\n{text_table(rows)}')
    if work_dir is not None:
        head = dict(real=str(real), fake=str(fake))
        title = f'{network.frechet_name}: {Path(str(fake)).name} against {Path(str(real)).name}'
        record.write(made_from)
        files = write_report(work_dir, stem, report, head, title)
        if isinstance(neighbours, TrainingNeighbours):
            generated, trained = (datasets[tree] for tree in trees[1:])
            sheet = nearest_sheet(neighbours, fake_set, training_set, generated, trained)
            write_png(Path(work_dir) / f'{stem}{NEAREST}', sheet)
            files.append(Path(work_dir) / f'{stem}{NEAREST}')
        report['files'] = [str(path) for path in files]
        print_log('Written: ' + ', '.join(report['files']))
    return report
