"""A folder of phantom slides: pyramidal TIFFs, annotations as of QuPath, and the truth."""

import importlib
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, List, NamedTuple, Union

import cv2
import numpy as np

from cellgan_plugin.datasets.inspection import with_progress
from cellgan_plugin.files import TRUTH_FOLDER, atomic_write, write_json, write_rows
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.processes import run_in_processes

from .whole_slide import SLIDE_MPP, PhantomSlide, SlideCell, draw_slide
from .writer import PARAMETERS_NAME, open_folder

DEFAULT_SIDE = 3072
SLIDES_PER_PATIENT = 2
_GENERATOR = 'phantom slide 1'
_TILE, _SMALLEST_LEVEL, _QUALITY = 256, 256, 90
_COLUMNS = ('slide', 'x', 'y', 'label', 'marked', 'nucleus_um2', 'cell_um2')


class _Task(NamedTuple):
    out_dir: str
    number: int
    side: int
    seed: int


def slide_name(number: int) -> str:
    """Of a phantom slide, without extension."""
    return f'phantom_{number:03d}'


@writes_folder('out_dir', deep=True)
def write_phantom_slides(
    out_dir: Union[str, Path],
    slides: int,
    side: int = DEFAULT_SIDE,
    seed: int = 0,
    workers: int = 1,
    progress: bool = False,
) -> Path:
    """Write phantom slides with annotations that :func:`convert_slides` reads.

    ::

        out_dir/
          slides/phantom_000.tiff ...       pyramidal, tiles of 256 px in JPEG, 0.25 um per px
          annotations/phantom_000.geojson   a point on the cell of every field, with its class
          outlines/phantom_000.geojson      a polygon around every cell
          slides.csv                        slide, patient: two slides each
          _truth/parameters.json, cells.csv every cell: place, class, areas

    A run that was stopped goes on; the number of slides may grow.

    Args:
        out_dir (str | Path): The folder.
        slides (int): How many.
        side (int): Width and height of a slide, px. Defaults to 3072.
        seed (int): Base seed. Defaults to 0.
        workers (int): Processes. Defaults to 1.
        progress (bool): Whether to show a progress bar. Defaults to False.

    Returns:
        Path: ``slides.csv``.

    Raises:
        ValueError: A bad number, or ``tifffile`` is not installed.
        RecordError: ``out_dir`` holds something else.
    """
    if slides < 1 or workers < 1:
        raise ValueError(f'slides and workers must be 1 or more, got {slides} and {workers}')
    if not 256 <= side <= 32768:
        raise ValueError(f'the side of a phantom slide is 256 to 32768 px, got {side}')
    _tifffile()
    out_dir = Path(out_dir)
    parameters = {'generator': _GENERATOR, 'seed': int(seed), 'size': int(side)}
    record = f'{TRUTH_FOLDER}/{PARAMETERS_NAME}'
    open_folder(out_dir, record, parameters, {'slides': int(slides)})
    tasks = [_Task(str(out_dir), number, side, seed) for number in range(slides)]
    done = run_in_processes(_make, tasks, workers)
    rows = [row for of_slide in _shown(done, slides, progress) for row in of_slide]
    write_rows(out_dir / TRUTH_FOLDER / 'cells.csv', _COLUMNS, rows)
    table = [
        {'slide': slide_name(number), 'patient': f'P{number // SLIDES_PER_PATIENT:02d}'}
        for number in range(slides)
    ]
    return write_rows(out_dir / 'slides.csv', ('slide', 'patient'), table)


def _shown(done, count: int, progress: bool):
    return with_progress(done, count, 'Phantom slides') if progress else done


def _tifffile() -> ModuleType:
    try:
        importlib.import_module('imagecodecs')
        return importlib.import_module('tifffile')
    except ImportError as error:
        raise ValueError(
            f'phantom slides are written by tifffile and imagecodecs ({error}): pip install '
            "'cellgan_plugin[slides]'"
        ) from error


def _make(task: _Task) -> List[Dict[str, Any]]:
    """Write one slide, the picture last; the rows of its cells."""
    out_dir, name = Path(task.out_dir), slide_name(task.number)
    cells_file = out_dir / TRUTH_FOLDER / f'{name}.json'
    picture = out_dir / 'slides' / f'{name}.tiff'
    if picture.is_file() and cells_file.is_file():
        return json.loads(cells_file.read_text(encoding='utf-8'))['cells']
    made = draw_slide(task.number, task.side, task.seed)
    marked = [cell for cell in made.cells if cell.marked]
    points = [_feature(cell, k, 'Point', [cell.x, cell.y]) for k, cell in enumerate(marked)]
    outlines = [_feature(c, k, 'Polygon', [_ring(c)]) for k, c in enumerate(made.cells)]
    for folder, features in (('annotations', points), ('outlines', outlines)):
        collection = {'type': 'FeatureCollection', 'features': features}
        write_json(out_dir / folder / f'{name}.geojson', collection)
    rows = [_row(name, cell) for cell in made.cells]
    write_json(cells_file, {'cells': rows})
    write_pyramid(picture, made)
    return rows


def write_pyramid(path: Path, slide: PhantomSlide) -> None:
    """Write a slide as a tiled TIFF whose levels halve, with its scale."""
    level, mpp = slide.image, SLIDE_MPP
    buffer = io.BytesIO()
    with _tifffile().TiffWriter(buffer) as writer:
        while True:
            per_cm = 1e4 / mpp
            writer.write(
                level, tile=(_TILE, _TILE), photometric='rgb', compression='jpeg',
                compressionargs={'level': _QUALITY}, metadata=None,
                subfiletype=0 if mpp == SLIDE_MPP else 1,
                resolution=(per_cm, per_cm), resolutionunit='CENTIMETER',
            )  # fmt: skip
            if max(level.shape) // 2 < _SMALLEST_LEVEL:
                break
            half = (level.shape[1] // 2, level.shape[0] // 2)
            level = cv2.resize(level, half, interpolation=cv2.INTER_AREA)
            mpp *= 2
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def _feature(cell: SlideCell, number: int, kind: str, coordinates: Any) -> Dict[str, Any]:
    """A cell as QuPath exports it."""
    return {
        'type': 'Feature',
        'id': f'cell-{number:04d}',
        'geometry': {'type': kind, 'coordinates': coordinates},
        'properties': {'objectType': 'annotation', 'classification': {'name': cell.label}},
    }


def _ring(cell: SlideCell) -> List[List[float]]:
    ring = np.round(cell.outline, 2).tolist()
    return [*ring, ring[0]]


def _row(name: str, cell: SlideCell) -> Dict[str, Any]:
    return {
        'slide': name,
        'x': round(cell.x, 3),
        'y': round(cell.y, 3),
        'label': cell.label,
        'marked': int(cell.marked),
        'nucleus_um2': round(cell.nucleus_um2, 4),
        'cell_um2': round(cell.cell_um2, 4),
    }
