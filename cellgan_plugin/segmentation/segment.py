"""Segment whole images with a trained model: what ``tools/segment.py`` does, for a notebook."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn
from torch.nn.functional import interpolate
from tqdm import tqdm

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, load_image
from cellgan_plugin.datasets.inspection import in_threads
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.datasets.transforms import FitTissue
from cellgan_plugin.datasets.whole_images import MaskMeaning, WholeImage, list_whole_images
from cellgan_plugin.evaluation.segmentation import ObjectRule
from cellgan_plugin.files import file_sha256, write_json
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.models.calibration import calibration_sums
from cellgan_plugin.records import FolderRecord, contents_of, digest_of, merged, plain
from cellgan_plugin.runs.config_values import training_scale
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.runs.trained_model import load_model
from cellgan_plugin.segmentation.evaluate_masks import (
    CLASSES_DIR,
    INSTANCES_DIR,
    PredictedMasks,
    calibration_path,
    score_masks,
    write_scores,
)
from cellgan_plugin.segmentation.sheets import draw_pairs, images_with_pairs, mask_sheet
from cellgan_plugin.visualization.mask_overlay import draw_overlay

PathLike = Union[str, Path]
OVERLAYS_DIR = 'overlays'
RECORD_NAME = 'segmentation.json'
_WRITERS = 2
_WAITING = 4  # images that may wait to be written


class Segmented(NamedTuple):
    """What became of a folder of images.

    Attributes:
        out (Path): The folder.
        images (list[WholeImage]): All of them.
        made (int): How many were segmented by this call; the others were there.
        files (list[Path]): Sheet and tables.
    """

    out: Path
    images: List[WholeImage]
    made: int
    files: List[Path]


def as_input(image: np.ndarray) -> torch.Tensor:
    """uint8 RGB (H, W, 3) as float32 (3, H, W) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)
    return tensor.to(torch.float32).div_(127.5).sub_(1)


def probabilities_at(model: nn.Module, pixels: np.ndarray, scale: float = 1.0) -> torch.Tensor:
    """Class probabilities of a whole image.

    Args:
        model (nn.Module): See :func:`predict_masks`.
        pixels (np.ndarray): uint8 RGB (H, W, 3).
        scale (float): The model sees the image resized by it, as in training; probabilities are
            enlarged to the image's size, bilinearly. Defaults to 1.

    Returns:
        Tensor: float32 (K, H, W) on the model's device.
    """
    height, width = pixels.shape[:2]
    if scale != 1:
        pixels = FitTissue(scale=scale).transform(dict(img=pixels))['img']
    with torch.no_grad():
        probabilities = model.segment_whole(as_input(pixels))
        if scale != 1:
            probabilities = interpolate(
                probabilities[None].float(), (height, width), mode='bilinear', align_corners=False
            )[0]
    return probabilities


def _largest(probabilities: torch.Tensor) -> np.ndarray:
    return probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()


def predict_masks(
    model: nn.Module,
    images: Sequence[WholeImage],
    out: PathLike,
    rule: ObjectRule,
    overlays: bool = True,
    meaning: Optional[MaskMeaning] = None,
    scale: float = 1.0,
    calibrate: bool = False,
) -> int:
    """Segment images one by one; those whose masks are there and whole are left alone.

    Memory is that of a few images, however many there are: one is decoded while another is
    segmented and the ones before are written. Every file is written whole or not at all, the class
    mask last, so that an interrupted call goes on where it stopped.

    Args:
        model (nn.Module): With ``segment_whole``: RGB (3, H, W) in [-1, 1] to class probabilities
            (K, H, W).
        images (Sequence[WholeImage]): Their names become those of the masks.
        out (str | Path): Gets ``classes/<name>.png`` (uint8 class ids), ``instances/<name>.png``
            (uint16 object ids) and ``overlays/<name>.png``.
        rule (ObjectRule): How class masks become objects.
        overlays (bool): Draw the outlines over the image. Defaults to True.
        meaning (MaskMeaning, optional): Of true masks, whose outlines are drawn below.
        scale (float): See :func:`probabilities_at`. Defaults to 1.
        calibrate (bool): Also write ``calibration/<name>.json``, the sums of
            :func:`~cellgan_plugin.models.calibration.calibration_sums`, for images with a true
            mask; needs ``meaning``. Defaults to False.

    Returns:
        int: Images that were segmented.

    Raises:
        ImageFileError: An image cannot be read.
        ValueError: More objects than 16 bits can name.
    """
    out = Path(out)
    needed = [(INSTANCES_DIR, load_mask), (CLASSES_DIR, load_mask)]
    needed += [(OVERLAYS_DIR, load_image)] if overlays else []

    def is_done(image: WholeImage) -> bool:
        return all(_is_whole(_mask_path(out, folder, image), read) for folder, read in needed)

    todo = [
        image for image, done in zip(images, in_threads(is_done, images), strict=True) if not done
    ]
    if not todo:
        return 0
    model.eval()
    waiting: Deque[Future] = deque()
    with (
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(_WRITERS) as writer,
        tqdm(total=len(images), initial=len(images) - len(todo), desc='Segmenting') as bar,
    ):
        following = reader.submit(load_image, str(todo[0].image))
        for index, image in enumerate(todo):
            pixels = following.result()
            if index + 1 < len(todo):
                following = reader.submit(load_image, str(todo[index + 1].image))
            probabilities = probabilities_at(model, pixels, scale)
            if calibrate and image.mask is not None:
                truth = torch.from_numpy(meaning.read(image)[0]).to(probabilities.device)
                sums = calibration_sums(probabilities, truth)
                write_json(calibration_path(out, image), sums.tolist())
            semantic = _largest(probabilities)
            waiting.append(
                writer.submit(_write, out, image, pixels, semantic, rule, overlays, meaning)
            )
            while len(waiting) > _WAITING:
                waiting.popleft().result()
            bar.update()
        for future in waiting:
            future.result()
    return len(todo)


def _is_whole(path: Path, read: Callable[[str], np.ndarray]) -> bool:
    """Whether a file of an earlier call is there and can be read."""
    if not path.is_file():
        return False
    try:
        read(str(path))
    except ImageFileError as error:
        print_log(f'{error.path} is damaged ({error.reason}); it is made again', 'current', 30)
        return False
    return True


def _mask_path(out: Path, folder: str, image: WholeImage) -> Path:
    return out / folder / f'{image.name}.png'


def _write(
    out: Path,
    image: WholeImage,
    pixels: np.ndarray,
    semantic: np.ndarray,
    rule: ObjectRule,
    overlays: bool,
    meaning: Optional[MaskMeaning],
) -> None:
    objects = rule.predicted(semantic)
    if objects.max(initial=0) > 65535:
        raise ValueError(f'{image.image}: {objects.max()} objects; 16 bits can name 65535')
    if overlays:
        true = None
        if meaning is not None and image.mask is not None:
            truth, true = meaning.read(image)
            true = (truth != 0).astype(np.int32) * (truth != 255) if true is None else true
            _same_size(image, pixels, true)
        drawn = draw_overlay(pixels, semantic, objects, true)
        write_png(_mask_path(out, OVERLAYS_DIR, image), drawn)
    write_png(_mask_path(out, INSTANCES_DIR, image), objects.astype(np.uint16)[..., None])
    write_png(_mask_path(out, CLASSES_DIR, image), semantic[..., None])


def _same_size(image: WholeImage, pixels: np.ndarray, mask: np.ndarray) -> None:
    if mask.shape != pixels.shape[:2]:
        (height, width), (rows, columns) = pixels.shape[:2], mask.shape
        raise ValueError(
            f'{image.image} is {width}x{height} px, its mask {image.mask} {columns}x{rows}: they '
            'must have one size'
        )


def _own_data(config: Config, *keys: str) -> Mapping[str, Any]:
    """The first data set of a config that says one of some keys; {} where none does."""
    for name in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        dataset = (config.get(name) or {}).get('dataset') or {}
        if any(key in dataset for key in keys):
            return dataset
    return {}


def _meaning_of(config: Config, classes: Tuple[str, ...], given: Mapping[str, Any]) -> MaskMeaning:
    """What true masks mean: as said, else as in the config's own data."""
    said = {key: value for key, value in given.items() if value is not None}
    said = said or _own_data(config, 'instances', 'mask_map')
    mask_map = said.get('mask_map')
    return MaskMeaning(classes, None if mask_map is None else dict(mask_map), said.get('instances'))


def _truths(
    images: Sequence[WholeImage], meaning: MaskMeaning, before: Mapping[str, str], out: Path
) -> Dict[str, str]:
    """What is known of the true masks; overlays of others are removed, and drawn again."""
    means = plain([meaning.classes, meaning.mask_map, meaning.instances])
    masks = contents_of({image: image.mask for image in images if image.mask is not None})
    truths = {image.name: digest_of([mask, image.label, means]) for image, mask in masks.items()}
    for image in images:
        if before.get(image.name) != truths.get(image.name):
            _mask_path(out, OVERLAYS_DIR, image).unlink(missing_ok=True)
    return truths


@writes_folder('out', deep=True)
def segment(
    config: Union[PathLike, Config],
    checkpoint: PathLike,
    images: PathLike,
    out: PathLike,
    split: Optional[Union[str, Sequence[str]]] = None,
    masks: Optional[PathLike] = None,
    mask_suffix: str = '',
    instances: Optional[str] = None,
    mask_map: Optional[Mapping[int, int]] = None,
    parts: Optional[Mapping[str, str]] = None,
    rule: Optional[dict] = None,
    overlays: bool = True,
    device: Optional[str] = None,
    options: Optional[dict] = None,
    overwrite: bool = False,
    pairs: int = 0,
) -> Segmented:
    """Segment a folder or manifest of whole images, and score them where the truth is known.

    Large images are cut into overlapping tiles of the size that the model was trained on, whose
    probabilities are averaged. A model that was trained on images made smaller (``FitTissue``) sees
    them so; masks have the size of the image. The same call goes on after an interruption.

    Args:
        config (str | Path | Config): The run.
        checkpoint (str | Path): Its weights, or the work directory that has them.
        images (str | Path): See :func:`list_whole_images`, as for ``split``, ``masks`` and
            ``mask_suffix``.
        out (str | Path): See :func:`predict_masks`; also ``masks.png``, a sheet of the first
            masks, and with true masks ``metrics.csv`` and ``table.{md,tex,csv,json}``.
        split (str | Sequence[str], optional): Of the manifest.
        masks (str | Path, optional): Folder of true masks.
        mask_suffix (str): Of the names of true masks. Defaults to ''.
        instances (str, optional): True masks hold object ids, see :class:`MaskMeaning`. Defaults
            to None: as the config's data set says.
        mask_map (Mapping, optional): Value in true masks -> class id. Defaults to None: likewise.
        parts (Mapping[str, str], optional): Part of the test set -> what file names start with.
        rule (dict, optional): Of :class:`ObjectRule`: ``min_area``, ``fill_holes``,
            ``connectivity``.
        overlays (bool): Draw outlines over the images. Defaults to True.
        device (str, optional): Defaults to None: a GPU where there is one.
        options (dict, optional): Overrides of the config.
        overwrite (bool): Delete what ``out`` holds where it was made from something else. Defaults
            to False.
        pairs (int): Images with true masks to draw into ``pairs.png``, with what the model's
            generator makes of these masks (see
            :func:`~cellgan_plugin.segmentation.sheets.draw_pairs`). Defaults to 0: none.

    Returns:
        Segmented: What was made.

    Raises:
        FileNotFoundError: No such config, checkpoint, folder or mask.
        RecordError: A folder of something else, of another model or of other images.
        ValueError: A model that does not segment, or masks that do not fit.
    """
    out = Path(out)
    config = load_config(config, options=options)
    label_column = _own_data(config, 'label_column').get('label_column', 'label')
    listed = list_whole_images(images, split, masks, mask_suffix, label_column=label_column)
    loaded = load_model(config, checkpoint, device)
    if not hasattr(loaded.model, 'segment_whole'):
        raise ValueError(
            f'{type(loaded.model).__name__} does not segment images; give the config of a '
            'segmenter (configs/pyramid_gan/)'
        )
    if pairs:  # before anything is segmented
        images_with_pairs(loaded.model, listed)
    object_rule = ObjectRule(**(rule or {}))
    meaning = _meaning_of(
        loaded.config, loaded.classes, dict(instances=instances, mask_map=mask_map)
    )
    scale = training_scale(loaded.config)
    made_from = dict(
        checkpoint_sha256=file_sha256(loaded.checkpoint),
        model=plain(loaded.config.model),
        classes=list(loaded.classes),
        rule=asdict(object_rule),
        scale=scale,
        images=contents_of({image.name: image.image for image in listed}),
    )
    record = FolderRecord(out, RECORD_NAME)
    before = record.check(made_from, ('images',), overwrite) or {}
    truths = _truths(listed, meaning, before.get('truths', {}), out)
    said = dict(checkpoint=str(loaded.checkpoint), iteration=loaded.iteration)
    record.write({**merged(before, made_from), **said, 'truths': truths})
    made = predict_masks(loaded.model, listed, out, object_rule, overlays, meaning, scale)
    title = f'{Path(checkpoint).stem} on {Path(images).name}'
    files = write_results(out, listed, meaning, object_rule, parts, title)
    if pairs:
        files.append(draw_pairs(loaded.model, out, listed, meaning, pairs, scale))
    return Segmented(out, listed, made, files)


def write_results(
    out: PathLike,
    images: Sequence[WholeImage],
    meaning: MaskMeaning,
    rule: ObjectRule,
    parts: Optional[Mapping[str, str]] = None,
    title: str = '',
) -> List[Path]:
    """Write the sheet of masks and, where there are true masks, the tables; the files written."""
    out = Path(out)
    files = [mask_sheet(out, images, meaning.classes)]
    if any(image.mask is not None for image in images):
        scores = score_masks(images, PredictedMasks(out), meaning, rule, parts)
        files += write_scores(out, scores, meaning.classes, title)
    return files
