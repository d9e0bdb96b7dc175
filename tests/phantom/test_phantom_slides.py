"""Phantom slides: what the annotations say is what is drawn, and the converter finds it."""

import csv
import json

import numpy as np
import pytest

from cellgan_plugin.converters.slides import SlideReader, convert_slides, make_settings
from cellgan_plugin.phantom import slide_writer, write_phantom_slides
from cellgan_plugin.phantom.whole_slide import SLIDE_MPP, draw_slide
from cellgan_plugin.records import RecordError

SIDE = 768


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phantom') / 'slides'
    write_phantom_slides(folder, 2, SIDE)
    return folder


def truth(folder):
    with open(folder / '_truth' / 'cells.csv', encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def test_the_slide_is_what_was_drawn(folder):
    drawn = draw_slide(0, SIDE)
    with SlideReader(folder / 'slides' / 'phantom_000.tiff') as reader:
        assert reader.info.mpp == (SLIDE_MPP, SLIDE_MPP)
        assert reader.info.levels == ((SIDE, SIDE), (SIDE // 2, SIDE // 2))
        read = reader.read(0, 0, 0, SIDE, SIDE)
    difference = np.abs(read.astype(int) - drawn.image)
    assert difference.mean() < 6 and (difference > 60).mean() < 0.01  # JPEG of quality 90
    other = draw_slide(1, SIDE)
    assert not np.array_equal(other.image, drawn.image)
    assert np.array_equal(draw_slide(0, SIDE).image, drawn.image)


def test_marked_cells_are_stained_where_they_are_said_to_be():
    drawn = draw_slide(0, SIDE)
    grey = drawn.image.mean(axis=2)
    for cell in drawn.cells:
        assert 0 <= cell.outline.min() and cell.outline.max() <= SIDE
        assert 0.02 < cell.nucleus_um2 / cell.cell_um2 < 1
        if cell.marked:
            x, y = round(cell.x), round(cell.y)
            assert grey[y - 4 : y + 4, x - 4 : x + 4].mean() < 0.75 * np.median(grey)


@pytest.mark.parametrize('mpp', [0.25, 0.5, 1.0])
def test_converted_patches_show_the_cells_of_the_truth(folder, tmp_path, mpp):
    settings = make_settings(mpp, 32)
    result = convert_slides(
        folder / 'slides', tmp_path / 'out', settings, annotations=folder / 'annotations',
        slide_table=folder / 'slides.csv', progress=False,
    )  # fmt: skip
    marked = {(c['slide'], c['label'], float(c['x']), float(c['y']))
              for c in truth(folder) if c['marked'] == '1'}  # fmt: skip
    assert len(result.rows) == len(marked) > 5
    half = 16 * mpp / SLIDE_MPP
    for row in result.rows:
        centre = row['x'] + half, row['y'] + half
        near = [
            cell
            for cell in marked
            if cell[:2] == (row['slide'], row['label'])
            and np.abs(np.subtract(cell[2:], centre)).max() <= mpp / SLIDE_MPP
        ]
        assert len(near) == 1
        marked.remove(near[0])
        assert row['group'] == 'P00'
    assert not marked


def test_a_folder_goes_on_and_grows(folder, monkeypatch):
    before = (folder / 'slides' / 'phantom_001.tiff').stat().st_mtime_ns
    (folder / 'slides' / 'phantom_000.tiff').unlink()
    rows = truth(folder)
    write_phantom_slides(folder, 2, SIDE)
    assert (folder / 'slides' / 'phantom_000.tiff').is_file() and truth(folder) == rows
    assert (folder / 'slides' / 'phantom_001.tiff').stat().st_mtime_ns == before
    with pytest.raises(RecordError, match='seed: 0 there, 1 now'):
        write_phantom_slides(folder, 2, SIDE, seed=1)
    with pytest.raises(RecordError, match='numbers may only grow'):
        write_phantom_slides(folder, 1, SIDE)


def test_outlines_are_polygons_of_qupath(folder):
    content = json.loads((folder / 'outlines' / 'phantom_000.geojson').read_text())
    assert content['type'] == 'FeatureCollection'
    cells = [cell for cell in truth(folder) if cell['slide'] == 'phantom_000']
    assert len(content['features']) == len(cells)
    ring = content['features'][0]['geometry']['coordinates'][0]
    assert ring[0] == ring[-1] and len(ring) > 8


@pytest.mark.parametrize(
    'options, message',
    [(dict(slides=0), '1 or more'), (dict(slides=1, side=100), 'is 256 to 32768 px, got 100')],
)
def test_bad_numbers(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_phantom_slides(tmp_path / 'x', **options)
    assert not (tmp_path / 'x').exists()


def test_without_tifffile_the_way_is_said(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(f'No module named {name!r}')

    monkeypatch.setattr(slide_writer.importlib, 'import_module', missing)
    with pytest.raises(ValueError, match=r"pip install 'cellgan_plugin\[slides\]'"):
        write_phantom_slides(tmp_path / 'x', 1)
