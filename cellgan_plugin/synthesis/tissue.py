"""Write synthetic tissue from masks: what ``tools/synthesize.py --masks`` does, for a notebook."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn
from tqdm import tqdm

from cellgan_plugin.datasets.content_hash import split_groups, to_hex, write_provenance
from cellgan_plugin.datasets.data_card import seen_facts, write_card, write_metadata
from cellgan_plugin.datasets.file_names import fit_name
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import ImageFileError, read_header
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.mask_io import read_mask_header
from cellgan_plugin.datasets.segmentation_labels import IGNORE_INDEX
from cellgan_plugin.datasets.whole_images import MaskMeaning, WholeImage
from cellgan_plugin.errors import SynthesisError, explained_output_errors
from cellgan_plugin.files import ABOUT_FOLDER
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.records import FolderRecord, contents_of, merged, plain
from cellgan_plugin.runs.config_values import training_scale
from cellgan_plugin.runs.sampling import Sampling
from cellgan_plugin.runs.trained_model import LoadedModel
from cellgan_plugin.synthesis.folder import RECORD_NAME, SHEET_NAME
from cellgan_plugin.synthesis.mask_batches import (
    Source,
    list_masks,
    mask_batches,
    mask_sources,
    relabelled_ids,
    warn_of_foreign_masks,
)
from cellgan_plugin.visualization import image_grid, mask_picture

PathLike = Union[str, Path]
COLUMNS = (
    'file', 'label', 'mask', 'split', 'group', 'source_mask', 'source_split', 'number',
    'checkpoint_sha256',
)  # fmt: skip
_SHEET_ROWS, _SHEET_VARIANTS, _SHEET_SIDE = 6, 4, 160


class SyntheticTissue(NamedTuple):
    """What became of a folder of masks.

    Attributes:
        out (Path): The folder.
        images (int): In it.
        made (int): By this call; the others were there.
        manifest (Path): ``TissueMaskDataset`` reads it.
    """

    out: Path
    images: int
    made: int
    manifest: Path


@writes_folder('out', deep=True)
def synthesize_tissue(
    config: Union[PathLike, Config],
    checkpoint: Optional[PathLike],
    masks: PathLike,
    out: PathLike,
    per_mask: int = 1,
    seed: int = 0,
    relabel: Optional[Mapping[str, str]] = None,
    mask_class: Optional[str] = None,
    split: Optional[Union[str, Sequence[str]]] = None,
    batch_size: int = 4,
    device: Optional[str] = None,
    sheet: bool = True,
    options: Optional[dict] = None,
    overwrite: bool = False,
) -> SyntheticTissue:
    """Generate images of masks.

    ``<out>/images/<mask>_<number>.png``, ``<out>/masks/<mask>.png`` (uint8 class ids),
    ``manifest.csv`` (a ``group`` holds all images of one mask or, where it is known, patient),
    ``synthesis.json``; in ``__about__``, ``sheet.png``, and ``training_images.txt`` where the
    checkpoint says what it was trained on; ``metadata.csv`` for Hugging Face datasets.

    An image depends on the mask, its name, its number and the seed alone: on a CPU the networks
    take one image at a time, on a GPU always ``batch_size`` of them (short batches are filled up),
    which is part of the protocol. Files are whole or absent; the same call continues what was
    interrupted, and a larger ``per_mask`` adds images.

    Args:
        config (str | Path | Config): The run that the model comes from, or the name of a shipped
            model.
        checkpoint (str | Path, optional): A file, or a work directory; None for a shipped model.
        masks (str | Path): A folder of masks, or a manifest with a ``mask`` column. Their numbers
            mean what they mean in the training set of the config.
        out (str | Path): A new folder, or one to continue.
        per_mask (int): Images of each mask, with different noise. Defaults to 1.
        seed (int): Defaults to 0.
        relabel (Mapping[str, str], optional): Class -> other class: the mask is changed before
            images are made of it (Sec. 4.2.1, Fig. 4c). Defaults to None.
        mask_class (str, optional): Class of the objects, where masks hold instance ids of images
            whose class only a manifest would know. Defaults to None.
        split (str | Sequence[str], optional): Of the manifest. Defaults to None: all.
        batch_size (int): Images per call of the networks on a GPU. Defaults to 4.
        device (str, optional): Defaults to None: a GPU where there is one.
        sheet (bool): Draw ``sheet.png``. Defaults to True.
        options (dict, optional): Overrides of the config. Defaults to None.
        overwrite (bool): Delete what ``out`` holds where it was made from something else. Defaults
            to False.

    Returns:
        SyntheticTissue: The folder.

    Raises:
        RecordError: A folder of something else, of other settings or of other masks.
        SynthesisError: A setting that cannot be.
        ValueError: A mask holds numbers without a class, or is too small.
        FileNotFoundError: No such config, checkpoint or mask.
    """
    if per_mask < 1:
        raise SynthesisError(f'per_mask={per_mask}: must be at least 1')
    sampling = Sampling.settle(
        config, checkpoint, device, batch_size=batch_size, seed=seed, options=options
    )
    loaded = sampling.loaded
    model, classes = loaded.model, loaded.classes
    if getattr(model, 'generators', None) is None or not hasattr(model, 'fit_masks'):
        raise SynthesisError(
            f'{type(model).__name__} generates no tissue from masks: --masks is for models with '
            'generators of masks, such as those of configs/pyramid_gan'
        )
    changes = relabelled_ids(relabel or {}, classes)
    dataset = loaded.config.train_dataloader.dataset
    listed = list_masks(masks, split, mask_class, dataset.get('label_column', 'label'))
    warn_of_foreign_masks(listed, dataset.get('split'))
    meaning = MaskMeaning(classes, dataset.get('mask_map'), dataset.get('instances'))
    scale = training_scale(loaded.config) * model.size / model.tile_size
    out = Path(out)
    per_call = sampling.images_per_call
    protocol = dict(
        **sampling.hashes,
        classes=list(classes),
        size_of_tile=model.size,
        images_per_call=per_call,
        seed=sampling.seed,
        relabel={classes[a]: classes[b] for a, b in changes.items()},
        mask_class=mask_class,
        scale=scale,
        mask_map=plain(meaning.mask_map),
        instances=meaning.instances,
        labels=plain({image.name: image.label for image in listed}),
        masks=contents_of({image.name: image.mask for image in listed}),
    )
    record = FolderRecord(out, RECORD_NAME)
    before = record.check(protocol, ('masks', 'labels'), overwrite)
    rows: List[Dict[str, Any]] = []
    shown: List[Source] = []
    made, written = 0, False
    with tqdm(total=len(listed) * per_mask, desc='Synthesising') as bar:
        for batch in mask_batches(
            mask_sources(listed, meaning, scale, model, changes), per_mask, batch_size
        ):
            for source, number in batch:
                if number == 0 and len(shown) < _SHEET_ROWS:
                    shown.append(source)
                rows.append(_row(source, number, classes, protocol))
            todo = [entry for entry in batch if before is None or not _is_whole(out, *entry)]
            if todo:
                with explained_output_errors(out):
                    if not written:  # before the first image: it makes the folder ours
                        record.write(merged(before, protocol))
                        written = True
                    _write(out, todo, _generate(model, todo, seed, per_call))
            made += len(todo)
            bar.update(len(batch))
    with explained_output_errors(out):
        if loaded.training_images is not None:
            write_provenance(out, loaded.training_images)
        if sheet:
            variants = min(per_mask, _SHEET_VARIANTS)
            picture = _sheet(model, shown, variants, seed, bool(changes), per_call)
            write_png(out / ABOUT_FOLDER / SHEET_NAME, picture)
        _write_card(out, rows, protocol, loaded)
        # Last: it says that all is there.
        manifest = write_manifest(out / MANIFEST_NAME, rows, COLUMNS)
    print_log(f'{out}: {len(rows)} images of {len(listed)} masks, {made} new', 'current')
    return SyntheticTissue(out, len(rows), made, manifest)


def _write_card(
    out: Path, rows: Sequence[Mapping[str, Any]], protocol: Mapping[str, Any], loaded: LoadedModel
) -> None:
    """``metadata.csv``, which names the mask of every image, and ``README.md``."""
    named = [
        {'mask_file_name' if key == 'mask' else key: value for key, value in row.items()}
        for row in rows
    ]
    write_metadata(out, named)
    seen = loaded.training_images
    facts = [
        ('Generator, config', Path(str(loaded.config.filename)).name),
        ('Generator, weights', loaded.checkpoint.name),
        ('Masks', 'by a number for every class, in the order of the classes: '
         + ', '.join(protocol['classes'])),
        *((key, protocol[key]) for key in ('checkpoint_sha256', 'config_sha256', 'seed')
          if key in protocol),
        *seen_facts(None if seen is None else set(to_hex(split_groups(seen)[0]))),
    ]  # fmt: skip
    sheet = SHEET_NAME if (out / ABOUT_FOLDER / SHEET_NAME).is_file() else ''
    title = f'Synthetic images of masks: {out.resolve().name}'
    write_card(out, title, rows, facts, 'tools/synthesize.py --masks', sheet)


# Making it ----------------------------------------------------------------------------------------


def _image_file(image: WholeImage, number: int) -> str:
    folder, _, name = f'images/{image.name}'.rpartition('/')
    return f'{folder}/{fit_name(name, f"_{number:04d}.png", image.name)}'


def _mask_file(image: WholeImage) -> str:
    return f'masks/{image.name}.png'


def _is_whole(out: Path, source: Source, number: int) -> bool:
    """Whether an earlier call made an image and its mask, and both are whole."""
    try:
        headers = [
            read_header(str(out / _image_file(source.image, number))),
            read_mask_header(str(out / _mask_file(source.image))),
        ]
    except ImageFileError as error:
        if error.kind != 'missing':
            print_log(f'{error.path} is damaged ({error.reason}); it is made again', 'current', 30)
        return False
    return all(
        header.complete and (header.height, header.width) == source.mask.shape for header in headers
    )


def _row(
    source: Source, number: int, classes: Sequence[str], protocol: Mapping[str, Any]
) -> Dict[str, Any]:
    return dict(
        file=_image_file(source.image, number),
        label=_label(source, classes, protocol),
        mask=_mask_file(source.image),
        split='train',
        group=source.image.group or source.image.name,
        source_mask=source.image.name,
        source_split=source.image.split,
        number=number,
        checkpoint_sha256=protocol['checkpoint_sha256'],
    )


def _label(source: Source, classes: Sequence[str], protocol: Mapping[str, Any]) -> str:
    """What the manifest of the masks says of the image, else the class of most pixels.

    Where that label is the class of the objects (``instances='label'``), or classes were exchanged,
    the mask knows better.
    """
    if source.image.label and protocol['instances'] != 'label' and not protocol['relabel']:
        return source.image.label
    counts = np.bincount(source.mask[source.mask != IGNORE_INDEX], minlength=len(classes))
    objects = counts[1:]
    return classes[1 + int(objects.argmax())] if objects.any() else classes[0]


def _generate(
    model: nn.Module, batch: Sequence[Tuple[Source, int]], seed: int, per_call: int
) -> List[np.ndarray]:
    """Images of a batch; the networks always see ``per_call`` at once, as sums round by it."""
    images: List[np.ndarray] = []
    for start in range(0, len(batch), per_call):
        part = list(batch[start : start + per_call])
        filled = part + part[-1:] * (per_call - len(part))
        masks = torch.from_numpy(np.stack([source.mask for source, _ in filled]))
        seeds = [derive_seed(seed, 'tissue', source.image.name, n) for source, n in filled]
        images += _pixels(model.generate(masks, seeds)[: len(part)])
    return images


def _pixels(images: torch.Tensor) -> List[np.ndarray]:
    if not torch.isfinite(images).all():
        raise FloatingPointError(
            'the generator gives NaN images: it has diverged; use an earlier checkpoint'
        )
    return list(to_uint8(images).permute(0, 2, 3, 1).cpu().numpy())


def _write(out: Path, batch: Sequence[Tuple[Source, int]], images: Sequence[np.ndarray]) -> None:
    for (source, number), image in zip(batch, images, strict=True):
        mask = out / _mask_file(source.image)
        if number == 0 or not mask.exists():
            write_png(mask, source.mask)
        write_png(out / _image_file(source.image, number), image)


def _sheet(
    model: nn.Module,
    sources: Sequence[Source],
    variants: int,
    seed: int,
    changed: bool,
    per_call: int,
) -> np.ndarray:
    """Masks beside their images; with relabelled masks, what the unchanged ones give first."""
    rows, titles = [], None
    for source in sources:
        row, row_titles = [], []
        kinds = [('as given', source.plain), ('relabelled', source.mask)]
        for title, mask in kinds if changed else [('', source.mask)]:
            batch = [(source._replace(mask=mask), number) for number in range(variants)]
            row += [mask_picture(mask), *_generate(model, batch, seed, per_call)]
            row_titles += [f'mask {title}'.strip(), *[f'image {n + 1}' for n in range(variants)]]
        rows.append(row)
        titles = row_titles
    scale = max(1, -(-_SHEET_SIDE // max(sources[0].mask.shape)))
    return image_grid(rows, [source.image.name for source in sources], titles, scale=scale)
