"""Compare two folders of labelled images: ``tools/evaluate_folders.py``, for a notebook."""

import csv
import re
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import torch
from mmengine.logging import print_log

from cellgan_plugin.datasets import BETHESDA_CLASSES, CellPatchDataset, resolve_class
from cellgan_plugin.datasets.file_names import PassedOver, list_folder, walk_images
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, REQUIRED_COLUMNS, iter_manifest
from cellgan_plugin.datasets.views import ALL_VIEWS, check_views
from cellgan_plugin.errors import check_known
from cellgan_plugin.evaluation.class_table import (
    HALVES,
    TRAINED,
    class_floors,
    class_table,
    find_copies,
)
from cellgan_plugin.evaluation.extractor_accuracy import extractor_accuracy
from cellgan_plugin.evaluation.extractors import FeatureExtractor, build_extractor
from cellgan_plugin.evaluation.memorisation import CopySearch
from cellgan_plugin.evaluation.nearest_sheet import NEAREST, nearest_sheet
from cellgan_plugin.evaluation.neighbours import TrainingNeighbours
from cellgan_plugin.evaluation.statistics_cache import describe_dataset, real_features
from cellgan_plugin.evaluation.table_distances import TableOptions
from cellgan_plugin.records import FolderRecord
from cellgan_plugin.runs.provenance import training_views_of
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


class FolderError(ValueError):
    """A folder that cannot be evaluated. The message says what to change."""


def find_folder(folder: Folder) -> ListedFolder:
    """Read ``DIR``, ``DIR:SPLIT`` or ``DIR:LIST.csv``, a manifest whose files lie below DIR.

    Without one, a manifest in the folder is what lists its images.

    Raises:
        FileNotFoundError: No such folder.
        FolderError: A split is named, and there is no manifest.
    """
    if isinstance(folder, ListedFolder):
        return folder
    text, split = str(folder), None
    if not Path(text).is_dir() and ':' in text:
        text, _, split = text.rpartition(':')
    if not Path(text).is_dir():
        raise FileNotFoundError(f'{text} is no folder')
    if split is not None and split.endswith('.csv'):
        return ListedFolder(text, str(Path(split).absolute()))
    named = _is_manifest(Path(text) / MANIFEST_NAME)
    if split is not None and not named:
        raise FolderError(
            f'{folder}: {text} has no {MANIFEST_NAME} with the columns file, label and split; '
            f'give {text} for all of its class folders'
        )
    return ListedFolder(text, MANIFEST_NAME if named else '', split)


def _is_manifest(path: Path) -> bool:
    """Whether a file is a manifest of this project, and not a foreign table of that name."""
    if not path.is_file():
        return False
    with open(path, encoding='utf-8-sig', errors='replace', newline='') as file:
        return set(REQUIRED_COLUMNS) <= set(next(csv.reader([file.readline(65536)]), []))


def classes_of(folder: ListedFolder) -> List[str]:
    """Names of the classes that a folder has, as spelled there, sorted.

    Raises:
        FolderError: It has none.
        ManifestError: The manifest is damaged.
    """
    if folder.ann_file:
        rows = iter_manifest(Path(folder.root) / folder.ann_file)
        found = {
            row['label'].strip()
            for _, row in rows
            if folder.split is None or row.get('split', '').strip() == folder.split
        }
    else:
        passed = PassedOver()
        entries = [entry for entry in list_folder(folder.root, passed) if entry.is_dir()]
        found = {e.name for e in entries if next(walk_images(e.path, passed, True), None)}
    if not found:
        where = f'split {folder.split!r} of ' if folder.split else ''
        raise FolderError(
            f'{where}{folder.root} has no image of a class; expected <class>/<image>, or a '
            f'{MANIFEST_NAME} with the columns file and label'
        )
    return sorted(found)


def settle_names(found: Sequence[Sequence[str]], known: Sequence[str]) -> List[str]:
    """The classes of both sides, each once and spelled as the classifier or the first side does.

    Args:
        found (Sequence[Sequence[str]]): Names of each side.
        known (Sequence[str]): Classes of the classifier whose features are compared, if any.
    """
    names: List[str] = []
    for side in found:
        for name in side:
            name = resolve_class(name, known) or name
            if resolve_class(name, names) is None:
                names.append(name)
    order = {name: index for index, name in enumerate(known or BETHESDA_CLASSES)}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def folder_dataset(
    folder: Folder,
    classes: Sequence[str],
    size: Optional[int] = None,
    ann_file: str = '',
    split: Optional[str] = None,
    generated: bool = False,
    follow_links: bool = False,
) -> CellPatchDataset:
    """A folder of images as a data set for evaluation: no flips, empty classes allowed.

    Args:
        folder (str | Path): ``<folder>/<class>/**/<image>``, or a folder with a manifest.
        classes (Sequence[str]): Class names; images of others are left out.
        size (int, optional): Cut and resize to this side. Defaults to None: as they are.
        ann_file (str): List or manifest in the folder. Defaults to '': folders.
        split (str, optional): Of the manifest. Defaults to None.
        generated (bool): Whether a generator made them. Then the rules for training images do not
            hold: a generator that makes one image for all classes is bad, not a mistake in the
            data. Files that cannot be read are found when they are. Defaults to False.
        follow_links (bool): Whether links may lead out of the folder. Defaults to False.

    Raises:
        DatasetError: Images that cannot be used, or links that are not to be followed.
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
        check='none' if generated else 'header',
        follow_links=follow_links,
        pipeline=pipeline,
        test_mode=True,
    )


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
    views: Optional[Sequence[str]] = None,
    follow_links: bool = False,
) -> Dict[str, Any]:
    """Compare two folders of labelled images by the rule that evaluates the plugin's own models.

    Args:
        real (str | Path | ListedFolder): Real images, ``<real>/<class>/<image>``; or a folder with
            a manifest, ``DIR:SPLIT`` for one split of it.
        fake (str | Path | ListedFolder): Generated images, likewise. One that is collapsed is
            scored as it is.
        extractor (dict | FeatureExtractor): The features.
        classes (Sequence[str], optional): Defaults to None: all classes of either side.
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
        views (Sequence[str], optional): Of training images that a copy may show
            (:mod:`cellgan_plugin.datasets.views`). Defaults to None: those that the generator's
            training showed where ``fake`` says it (``synthesis.json``), else all eight.
        follow_links (bool): Whether links may lead out of the folders, as those of a selection do.
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
        ValueError: No classes, or options that do not fit.
    """
    started = time.perf_counter()
    check_known('options', options or {}, {f.name for f in fields(TableOptions)})
    table_options = TableOptions(distances=tuple(distances), **(options or {}))
    asked = [real, fake] if training is None else [real, fake, training]
    trees = [find_folder(folder) for folder in asked]
    network = build_extractor(extractor)
    if classes is None:
        known = getattr(network, 'classes', None) or ()
        classes = settle_names([classes_of(tree) for tree in trees[:2]], known)
    network.check_classes(classes)
    network.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))

    names = ['real', 'generated', 'training']
    datasets = {
        tree: folder_dataset(
            tree.root, classes, size, tree.ann_file, tree.split,
            generated=tree == trees[1] and tree not in (trees[0], *trees[2:]),
            follow_links=follow_links,
        )
        for tree in dict.fromkeys(trees)
    }  # fmt: skip
    if training is not None:
        views = check_views(views or training_views_of(trees[1].root) or ALL_VIEWS)
    stem = 'evaluation_' + re.sub(r'[^\w.-]+', '_', Path(str(fake)).resolve().name)
    record = None
    if work_dir is not None:
        described = {tree: describe_dataset(dataset) for tree, dataset in datasets.items()}
        record = FolderRecord(work_dir, f'{stem}.json', shared=True)
        made_from = dict(
            extractor=network.fingerprint,
            options=asdict(table_options),
            size=size,
            views=None if training is None else list(views),
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
        if tree in trees[:2]
    }
    real_set, fake_set = features[trees[0]], features[trees[1]]
    search = held_out = None
    if training is not None:
        shown = real_features(
            datasets[trees[2]], network, cache_dir, batch_size, num_workers,
            'training images in their views', views,
        )  # fmt: skip
        held_out = None if trees[2] == trees[0] else real_set
        search = CopySearch(shown, views, held_out, table_options.memorisation_quantile)
    copies = find_copies(fake_set, search)
    accuracy = extractor_accuracy(network, real_set, datasets[trees[0]])
    others = None if held_out is None else search.images
    counts = list(fake_set.counts().values())
    names_and_options = network.frechet_name, network.kernel_name, table_options
    floors = class_floors(real_set, counts, *names_and_options, others)
    rows = class_table(real_set, fake_set, *names_and_options, copies, floors)
    if isinstance(copies, TrainingNeighbours):
        rows[-1].notes += search.remarks(copies)
    if accuracy is not None:
        rows[-1].notes += accuracy.remarks()
    report = dict(
        protocol=dict(
            extractor=network.describe(),
            extractor_fingerprint=network.fingerprint,
            extractor_accuracy=None if accuracy is None else accuracy.as_dict(),
            real=real_set.source,
            generated=fake_set.source,
            training=None if search is None else search.training.source,
            memorised=search.describe(copies) if isinstance(copies, TrainingNeighbours) else None,
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
    beside = '' if accuracy is None else f'; {accuracy}'
    print_log(f'{fake} against {real}{beside}\n{text_table(rows)}')
    if work_dir is not None:
        head = dict(real=str(real), fake=str(fake))
        title = f'{network.frechet_name}: {Path(str(fake)).name} against {Path(str(real)).name}'
        record.write(made_from)
        files = write_report(work_dir, stem, report, head, title)
        if isinstance(copies, TrainingNeighbours):
            generated, trained = (datasets[tree] for tree in trees[1:])
            sheet = nearest_sheet(copies, fake_set, generated, trained)
            write_png(Path(work_dir) / f'{stem}{NEAREST}', sheet)
            files.append(Path(work_dir) / f'{stem}{NEAREST}')
        report['files'] = [str(path) for path in files]
        print_log('Written: ' + ', '.join(report['files']))
    return report
