"""Which files hold the annotations of which slide."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from cellgan_plugin.converters.common import ConverterError, PathLike
from cellgan_plugin.converters.slides.annotation import Annotation
from cellgan_plugin.converters.slides.asap import read_asap
from cellgan_plugin.converters.slides.cell_table import read_cell_table
from cellgan_plugin.converters.slides.geojson import read_geojson
from cellgan_plugin.datasets.file_names import nfc
from cellgan_plugin.files import is_hidden

ANNOTATION_EXTENSIONS = ('.geojson', '.json', '.xml', '.csv')
MAX_BYTES = 1 << 29  # of an annotation file: a million detected cells have some 400 MB


def check_file_size(path: Path) -> None:
    """Refuse a file that would not fit into memory once it is read."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ConverterError(
            f'{path}: has {size / 1e6:.0f} MB; annotation files of up to {MAX_BYTES / 1e6:.0f} MB '
            'are read: export annotations without detections, or in parts'
        )


def read_annotations(
    source: PathLike, slides: Mapping[str, Path], unit: str
) -> Tuple[Dict[str, List[Annotation]], Dict[str, int], List[str]]:
    """Read a file of annotations, or a folder with one for each slide.

    Args:
        source (str | Path): A folder with ``SLIDE.geojson``, ``.json`` (QuPath), ``.xml`` (ASAP) or
            ``.csv``, or one such file.
        slides (Mapping[str, Path]): Slides by name.
        unit (str): Of CSV files: ``'px'`` of level 0, or ``'um'``.

    Returns:
        tuple: Annotations by slide; what was passed over, with its number; notes.

    Raises:
        ConverterError: A file cannot be read, or none fits a slide.
    """
    source = Path(source)
    if source.is_dir():
        paths = sorted(
            path
            for path in source.iterdir()
            if path.suffix.lower() in ANNOTATION_EXTENSIONS
            and path.is_file()
            and not is_hidden(path.name)
        )
    elif source.is_file():
        paths = [source]
    else:
        raise ConverterError(f'{source}: no such file or folder of annotations')
    found: Dict[str, List[Annotation]] = {}
    left_out: Dict[str, int] = {}
    strangers: List[str] = []
    for path in paths:
        check_file_size(path)
        suffix = path.suffix.lower()
        if suffix == '.csv':
            read = read_cell_table(path, unit)
        elif suffix == '.xml':
            read = read_asap(path)
        else:
            read = read_geojson(path)
        for what, number in read.left_out.items():
            left_out[what] = left_out.get(what, 0) + number
        for slide, annotations in read.annotations.items():
            name = slide_named(slide or path.stem, slides)
            if name is None:
                strangers.append(slide or path.name)
            else:
                found.setdefault(name, []).extend(annotations)
    notes = []
    if strangers:
        names = ', '.join(sorted(set(strangers))[:5])
        notes.append(f'annotations of {len(set(strangers))} slides that are not here: {names}')
    if not found:
        raise ConverterError(
            f'{source}: no annotation fits a slide; files are called as their slide '
            f'({", ".join(list(slides)[:3])}) with {", ".join(ANNOTATION_EXTENSIONS)}, or a CSV '
            'has a column slide'
        )
    return {slide: _with_own_ids(of_slide) for slide, of_slide in found.items()}, left_out, notes


def _with_own_ids(annotations: List[Annotation]) -> List[Annotation]:
    """Ids that several share numbered: QuPath before 0.3 has ``PathAnnotationObject`` for all."""
    seen: Counter = Counter()
    named = []
    for annotation in annotations:
        seen[annotation.id] += 1
        number = seen[annotation.id]
        named.append(
            annotation if number == 1 else replace(annotation, id=f'{annotation.id}-{number}')
        )
    return named


def slide_named(text: str, slides: Mapping[str, Path]) -> Optional[str]:
    """The slide that a name means, with or without extension; None for none."""
    name = nfc(text.strip())
    if name in slides:
        return name
    for slide, path in slides.items():
        # QuPath names an export 'a.svs - Series 0' or 'a.svs'.
        if name == nfc(path.name) or name.startswith(f'{nfc(path.name)} - '):
            return slide
    return None
