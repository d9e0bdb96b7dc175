"""Compare predicted masks with true ones: what ``tools/evaluate_masks.py`` does, for a notebook."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from tqdm import tqdm

from cellgan_plugin.datasets.classes import check_class_names
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.datasets.whole_images import (
    MaskMeaning,
    WholeImage,
    files_by_name,
    list_whole_images,
    look_at_masks,
)
from cellgan_plugin.evaluation.segmentation import (
    ImageScores,
    ObjectRule,
    ObjectStatistics,
    part_name,
    part_scores,
    score_image,
)
from cellgan_plugin.files import atomic_write, write_rows
from cellgan_plugin.records import FolderRecord, contents_of, digest_of, file_digests, plain
from cellgan_plugin.visualization.report_tables import Column, ReportTable, write_report_table
from cellgan_plugin.visualization.tables import as_cell

PathLike = Union[str, Path]
CLASSES_DIR, INSTANCES_DIR, CALIBRATION_DIR = 'classes', 'instances', 'calibration'
SCORES_NAME = 'scores.json'
RECORD_NAME = 'evaluation.json'
PER_IMAGE_NAME = 'metrics.csv'
# key, title, digits, what is better
_COLUMNS = (
    ('object_f1', 'object F1', 3, 'higher'),
    ('object_dice', 'object Dice', 3, 'higher'),
    ('object_hausdorff', 'object Hausdorff (px)', 1, 'lower'),
    ('mIoU', 'mIoU', 3, 'higher'),
    ('OPA', 'OPA', 3, 'higher'),
    ('SMA', 'SMA', 3, 'higher'),
)


def calibration_path(folder: Path, image: WholeImage) -> Path:
    """Where the sums of calibration of an image lie beside its predicted masks."""
    return folder / CALIBRATION_DIR / f'{image.name}.json'


class PredictedMasks:
    """A folder of predicted masks.

    Args:
        folder (str | Path): As :func:`~cellgan_plugin.segmentation.segment.segment` writes it
            (``classes`` and ``instances`` inside), or any folder of masks.
        instances (bool): Masks of the latter hold object ids, not class ids. Defaults to False.
        suffix (str): What a mask's name has beyond its image's. Defaults to ''.
        mask_map (Mapping[int, int], optional): Stored value -> class id, e.g. ``{0: 0, 255: 1}``.

    Raises:
        FileNotFoundError: No such folder, or no masks in it.
    """

    def __init__(
        self,
        folder: PathLike,
        instances: bool = False,
        suffix: str = '',
        mask_map: Optional[Mapping[int, int]] = None,
    ):
        folder = Path(folder)
        self.folder = folder
        self.suffix = suffix
        self.instances = instances
        self.mask_map = None if mask_map is None else {int(k): int(v) for k, v in mask_map.items()}
        self.pairs = (folder / CLASSES_DIR).is_dir()
        self.files_in = folder / CLASSES_DIR if self.pairs else folder
        self.files = files_by_name(self.files_in)

    def require(self, images: Sequence[WholeImage]) -> None:
        """FileNotFoundError unless every image has a prediction."""
        missing = [i.name for i in images if i.name + self.suffix not in self.files]
        if missing:
            raise FileNotFoundError(
                f'{self.folder} has no prediction for {len(missing)} of {len(images)} images; the '
                f'first is {missing[0]}{self.suffix}. It has {len(self.files)} files, e.g. '
                f'{next(iter(self.files))}'
            )

    def _paths(self, image: WholeImage) -> List[Path]:
        """The mask of an image, and its object ids where they are in a file of their own."""
        path = self.files[image.name + self.suffix]
        own = self.folder / INSTANCES_DIR / path.relative_to(self.files_in)
        return [path, own] if self.pairs and own.is_file() else [path]

    def calibration(self, image: WholeImage) -> Optional[np.ndarray]:
        """Sums of calibration, float64 (bins, 4); None where the probabilities are not known."""
        path = calibration_path(self.folder, image)
        if not path.is_file():
            return None
        return np.array(json.loads(path.read_text(encoding='utf-8')), dtype=np.float64)

    def digests(self, images: Sequence[WholeImage]) -> Dict[str, str]:
        """Digest of the predictions of every image, by content."""
        return {image.name: digest_of(file_digests(self._paths(image))) for image in images}

    def read(self, image: WholeImage) -> Tuple[np.ndarray, Optional[np.ndarray]]:
        """Class ids and object ids (None: to be found) of one image."""
        path, *objects = self._paths(image)
        raw = load_mask(str(path))
        if self.pairs:
            return raw, load_mask(str(objects[0])).astype(np.int32) if objects else None
        if self.instances:
            return (raw != 0).astype(np.uint8), raw.astype(np.int32)
        if self.mask_map is not None:
            unknown = sorted(set(np.unique(raw).tolist()) - set(self.mask_map))
            if unknown:
                raise ValueError(
                    f'{path}: holds the value {unknown[0]}, which mask_map {self.mask_map} lacks'
                )
            table = np.zeros(65536, dtype=np.uint8)
            table[list(self.mask_map)] = list(self.mask_map.values())
            raw = table[raw]
        return raw, None


def score_masks(
    images: Sequence[WholeImage],
    predicted: PredictedMasks,
    meaning: MaskMeaning,
    rule: Optional[ObjectRule] = None,
    parts: Optional[Mapping[str, str]] = None,
) -> List[ImageScores]:
    """Score the predictions of images that have a true mask, one after another.

    Args:
        images (Sequence[WholeImage]): Those without a mask are left out.
        predicted (PredictedMasks): Must have all of them.
        meaning (MaskMeaning): Of the true masks.
        rule (ObjectRule, optional): How predicted objects are found where no object ids are given.
            Defaults to None: its defaults.
        parts (Mapping[str, str], optional): Part of the test set -> what file names start with;
            see :func:`~cellgan_plugin.evaluation.segmentation.part_name`.

    Raises:
        FileNotFoundError: A prediction is missing.
        ValueError: Masks that cannot be compared; names the image.
    """
    images = [image for image in images if image.mask is not None]
    predicted.require(images)
    names = [part_name(image.name, parts or {}) for image in images]
    scores = []
    for image, part in tqdm(list(zip(images, names, strict=True)), 'Scoring masks', unit='image'):
        true, instances = meaning.read(image)
        pred, objects = predicted.read(image)
        one = score_image(
            image.name,
            pred,
            true,
            len(meaning.classes),
            part,
            instances,
            rule or ObjectRule(),
            objects,
        )
        one.calibration = predicted.calibration(image)
        scores.append(one)
    return scores


def score_table(
    scores: Sequence[ImageScores],
    classes: Sequence[str],
    title: str,
) -> ReportTable:
    """Parts of a test set and all images together, as the GlaS challenge reports them."""
    rows = []
    for part, values in part_scores(scores, classes).items():
        row: Dict[str, Any] = dict(part=part, images=values['images'])
        for key, value in values.items():
            if key != 'images':
                row[key] = None if isinstance(value, float) and math.isnan(value) else value
        if row.get('one_sided_images'):
            row['object_hausdorff_why'] = (
                f'{row["one_sided_images"]} images have objects on one side only; their distance '
                'is the diagonal of the image'
            )
        rows.append(row)
    columns = [Column('part', 'part'), Column('images', 'images')]
    columns += [Column(*column[:3]) for column in _COLUMNS if any(column[0] in r for r in rows)]
    columns += [Column(f'J/{name}', f'J {name}', 3) for name in classes]
    said = list(dict.fromkeys(note for image in scores for note in image.notes))
    return ReportTable(title, columns, rows, said)


def write_scores(
    out: PathLike, scores: Sequence[ImageScores], classes: Sequence[str], title: str
) -> List[Path]:
    """Write ``metrics.csv`` (per image), ``scores.json`` and ``table.{md,tex,csv,json}``.

    Returns:
        list[Path]: The files; the Markdown table is the third.
    """
    out = Path(out)
    rows = [dict(image=s.name, part=s.part, **s.values(classes)) for s in scores]
    columns = list(rows[0]) if rows else ['image']
    cells = ({key: as_cell(value) for key, value in row.items()} for row in rows)
    write_rows(out / PER_IMAGE_NAME, columns, cells)
    save_scores(out / SCORES_NAME, scores, classes)
    table = score_table(scores, classes, title)
    return [out / PER_IMAGE_NAME, out / SCORES_NAME, *write_report_table(out, 'table', table)]


def save_scores(
    path: PathLike,
    scores: Sequence[ImageScores],
    classes: Sequence[str],
    said: Optional[Mapping[str, Any]] = None,
) -> None:
    """Write what is needed to pool the scores again, as JSON; ``said`` is kept beside them."""
    images = [
        dict(
            name=s.name,
            part=s.part,
            confusion=s.confusion.tolist(),
            objects=None if s.objects is None else asdict(s.objects),
            notes=s.notes,
            calibration=None if s.calibration is None else s.calibration.tolist(),
        )
        for s in scores
    ]
    with atomic_write(path, 'w', encoding='utf-8') as file:
        json.dump(dict(said or {}, classes=list(classes), images=images), file)


def read_scores(path: PathLike) -> Tuple[List[ImageScores], Tuple[str, ...]]:
    """What :func:`save_scores` wrote: scores and class names."""
    found = json.loads(Path(path).read_text(encoding='utf-8'))
    scores = [
        ImageScores(
            image['name'],
            image['part'],
            np.array(image['confusion'], dtype=np.int64),
            None if image['objects'] is None else ObjectStatistics(**image['objects']),
            list(image['notes']),
            None if sums is None else np.array(sums, dtype=np.float64),
        )
        for image in found['images']
        for sums in [image.get('calibration')]
    ]
    return scores, tuple(found['classes'])


def evaluate_masks(
    pred: PathLike,
    true: PathLike,
    classes: Sequence[str] = ('background', 'object'),
    out: Optional[PathLike] = None,
    split: Optional[Union[str, Sequence[str]]] = None,
    true_instances: Optional[str] = None,
    pred_instances: bool = False,
    true_map: Optional[Mapping[int, int]] = None,
    pred_map: Optional[Mapping[int, int]] = None,
    true_suffix: str = '',
    pred_suffix: str = '',
    rule: Optional[dict] = None,
    parts: Optional[Mapping[str, str]] = None,
    title: Optional[str] = None,
    label_column: str = 'label',
    overwrite: bool = False,
) -> Tuple[List[ImageScores], ReportTable]:
    """Compare two folders of masks, wherever they come from.

    Args:
        pred (str | Path): Predicted masks; see :class:`PredictedMasks`.
        true (str | Path): True masks of the same names, or a manifest with a ``mask`` column.
        classes (Sequence[str]): Class names. Defaults to ('background', 'object').
        out (str | Path, optional): Write tables there. Defaults to None.
        split (str | Sequence[str], optional): Of the manifest.
        true_instances (str, optional): True masks hold object ids: 'binary' or 'label'.
        pred_instances (bool): Predicted masks hold object ids. Defaults to False.
        true_map (Mapping, optional): Value in a true mask -> class id.
        pred_map (Mapping, optional): Value in a predicted mask -> class id.
        true_suffix (str): Of the names of true masks, e.g. '_anno'.
        pred_suffix (str): Of the names of predicted masks.
        rule (dict, optional): Of :class:`ObjectRule`, for predicted masks of class ids.
        parts (Mapping[str, str], optional): Part of the test set -> what file names start with.
        title (str, optional): Of the table.
        label_column (str): Of the manifest: the class of an image's objects, for
            ``true_instances='label'``. Defaults to 'label'.
        overwrite (bool): Delete what ``out`` holds where it was made from something else. Defaults
            to False.

    Returns:
        tuple: The scores of every image, and the table.

    Raises:
        DatasetError: The manifest cannot be used.
        FileNotFoundError: A folder or a prediction is missing.
        RecordError: ``out`` holds something else, or the scores of other masks or settings.
        ValueError: Masks that cannot be compared.
    """
    meaning = MaskMeaning(check_class_names(classes), true_map, true_instances)
    if pred_instances and len(meaning.classes) != 2:
        raise ValueError(
            f'object ids say nothing of the {len(meaning.classes)} classes {list(classes)}: give '
            'predicted masks of class ids'
        )
    if Path(true).suffix.lower() == '.csv' or split is not None:
        images = list_whole_images(true, split, label_column=label_column)
    else:
        images = [
            WholeImage(name.removesuffix(true_suffix), path, path)
            for name, path in files_by_name(true).items()
            if name.endswith(true_suffix)
        ]
        look_at_masks(images)
    predicted = PredictedMasks(pred, pred_instances, pred_suffix, pred_map)
    images = [image for image in images if image.mask is not None]
    if not images:
        raise ValueError(f'{true}: no image has a true mask')
    object_rule = ObjectRule(**(rule or {}))
    if out is not None:
        predicted.require(images)
        made_from = dict(
            true=contents_of({image.name: image.mask for image in images}),
            predicted=predicted.digests(images),
            labels=digest_of([image.label for image in images]),
            meaning=[meaning.classes, meaning.mask_map, meaning.instances],
            pred_instances=pred_instances,
            pred_map=pred_map,
            rule=asdict(object_rule),
            parts=dict(parts or {}),
        )
        record = FolderRecord(out, RECORD_NAME)
        record.check(made_from, overwrite=overwrite)
        record.write(plain(made_from))
    scores = score_masks(images, predicted, meaning, object_rule, parts)
    title = title or f'{Path(pred).name} against {Path(true).name}'
    if out is not None:
        write_scores(out, scores, meaning.classes, title)
    return scores, score_table(scores, meaning.classes, title)
