"""Slides as scanners write them: the same picture, scale and places from every format."""

import csv

import cv2
import numpy as np
import pytest
import slide_formats
import tifffile
from PIL import Image
from slide_files import feature, noise, write_geojson, write_huge_slide

from cellgan_plugin.converters import ConverterError
from cellgan_plugin.converters.slides import SlideReader, convert_slides, make_settings, readers
from cellgan_plugin.converters.slides.readers import SlideError, list_slides

CELL = (301, 203)


@pytest.fixture(scope='module')
def levels():
    """Of one picture of noise."""
    return slide_formats.pyramid(noise(512, 640, 5, side=4))


def convert(slides, out, name, mpp=0.5, **options):
    source = out.parent / f'{name}.geojson'
    if not source.exists():
        write_geojson(source, [feature('Point', list(CELL), 'HSIL')])
    return convert_slides(
        slides, out, make_settings(mpp, 64), annotations=source, progress=False, **options
    )


def told(result):
    with open(result.manifest.parent / 'slides.csv', encoding='utf-8', newline='') as file:
        return next(csv.DictReader(file))


@pytest.mark.parametrize(
    'write, name, vendor, objective',
    [
        (slide_formats.write_aperio, 'a.svs', 'aperio', '40.0'),
        (slide_formats.write_leica, 'a.scn', 'leica', '40.0'),
        (slide_formats.write_philips, 'a.tiff', 'philips', ''),
        (slide_formats.write_ventana, 'a.bif', 'ventana', '40.0'),
        (slide_formats.write_dicom, 'a', 'dicom', '40.0'),
    ],
)
def test_of_every_format_the_same_patch(tmp_path, levels, write, name, vendor, objective):
    (tmp_path / 's').mkdir()
    write(tmp_path / 's' / name, levels)
    result = convert(tmp_path / 's', tmp_path / 'out', 'a')
    (row,) = result.rows
    truth = levels[1][102 - 32 : 102 + 32, 150 - 32 : 150 + 32]  # Python rounds 150.5 to 150
    assert np.array_equal(np.array(Image.open(result.manifest.parent / row['file'])), truth)
    said = told(result)
    assert (said['vendor'], said['mpp_source'], said['objective']) == (vendor, 'file', objective)
    assert float(said['mpp_x']) == float(said['mpp_y']) == 0.25 and said['levels'] == '3'


def test_a_leica_slide_is_part_of_its_glass(tmp_path, levels):
    """QuPath shows the scanned area alone and counts from its corner; ASAP and tables do not."""
    (tmp_path / 's').mkdir()
    slide_formats.write_leica(tmp_path / 's' / 'a.scn', levels, offset=(100, 60))
    result = convert(tmp_path / 's', tmp_path / 'out', 'a', 0.25)
    truth = levels[0][203 - 32 : 203 + 32, 301 - 32 : 301 + 32]
    (row,) = result.rows
    assert (row['x'], row['y']) == (301 - 32 + 100, 203 - 32 + 60)
    assert np.array_equal(np.array(Image.open(result.manifest.parent / row['file'])), truth)
    assert result.counts['annotations of QuPath, counted from the corner of the scanned area'] == 1
    table = tmp_path / 'cells.csv'
    table.write_text('slide,x,y,label\na,401,263,HSIL\n')
    other = convert_slides(
        tmp_path / 's', tmp_path / 'b', make_settings(0.25, 64), annotations=table, progress=False
    )
    assert [(r['x'], r['y']) for r in other.rows] == [(row['x'], row['y'])]


def test_an_ome_tiff_says_its_scale_in_xml(tmp_path, levels):
    (tmp_path / 's').mkdir()
    slide_formats.write_ome(tmp_path / 's' / 'a.ome.tiff', levels)
    result = convert(tmp_path / 's', tmp_path / 'out', 'a.ome', 0.25)
    (row,) = result.rows
    truth = levels[0][203 - 32 : 203 + 32, 301 - 32 : 301 + 32]
    assert np.array_equal(np.array(Image.open(result.manifest.parent / row['file'])), truth)
    assert told(result)['mpp_x'] == told(result)['mpp_y'] == '0.25'


@pytest.mark.parametrize(
    'unit, resolution, expected',
    [
        ('CENTIMETER', (40000, 20000), (0.25, 0.5)),
        ('INCH', (101600, 101600), (0.25, 0.25)),
        ('NONE', (40000, 40000), None),
        ('CENTIMETER', (0, 0), None),
    ],
)
def test_the_scale_of_a_tiff_by_its_tags(tmp_path, levels, unit, resolution, expected):
    path = tmp_path / 'a.tiff'
    with tifffile.TiffWriter(path) as file:
        file.write(
            levels[1], tile=(128, 128), photometric='rgb', metadata=None, resolution=resolution,
            resolutionunit=unit,
        )  # fmt: skip
    with SlideReader(path) as reader:
        assert reader.info.mpp == (None if expected is None else pytest.approx(expected))


def test_across_and_down_may_differ_in_scale(tmp_path, levels):
    """Pixels twice as high as wide become square, and the cell stays in the middle."""
    (tmp_path / 's').mkdir()
    with tifffile.TiffWriter(tmp_path / 's' / 'a.tiff') as file:
        file.write(
            levels[0], tile=(128, 128), photometric='rgb', metadata=None,
            resolution=(40000, 20000), resolutionunit='CENTIMETER',
        )  # fmt: skip
    (row,) = convert(tmp_path / 's', tmp_path / 'out', 'a', 0.5).rows
    assert (row['original_width'], row['original_height']) == (128, 64)
    assert (row['x'], row['y']) == (301 - 64, 203 - 32)


def test_levels_that_do_not_halve(tmp_path, levels):
    path, image = tmp_path / 'a.tiff', levels[0]
    with tifffile.TiffWriter(path) as file:
        for factor in (1, 3.2, 12.8):
            size = (round(640 / factor), round(512 / factor))
            file.write(
                cv2.resize(image, size, interpolation=cv2.INTER_AREA), tile=(64, 64),
                photometric='rgb', metadata=None, subfiletype=int(factor > 1),
                resolution=(40000 / factor,) * 2, resolutionunit='CENTIMETER',
            )  # fmt: skip
    (row,) = convert(path, tmp_path / 'out', 'a', 0.8).rows
    assert (row['level'], row['factor']) == (1, '1')
    assert abs(row['x'] + 32 * 3.2 - 301) <= 3.2 and abs(row['y'] + 32 * 3.2 - 203) <= 3.2


def test_images_that_are_no_slides(tmp_path, levels, monkeypatch):
    monkeypatch.setattr(readers, '_LIBRARIES', readers._LIBRARIES[:1])  # tiffslide opens them
    Image.fromarray(levels[2]).save(tmp_path / 'photo.tif')
    with pytest.raises(SlideError, match=r'images of one piece are for folders\.py'):
        SlideReader(tmp_path / 'photo.tif')


def test_a_slide_that_claims_too_much(tmp_path):
    write_huge_slide(tmp_path / 'a.tiff', 1 << 21, height=256)
    with pytest.raises(SlideError, match='claims 2097152x256 px; no scanner writes so many'):
        SlideReader(tmp_path / 'a.tiff')


def test_two_dicom_series_in_one_folder(tmp_path, levels):
    folder = slide_formats.write_dicom(tmp_path / 'a', levels[1:])
    assert list_slides(tmp_path) == {'a': folder / 'level0.dcm'}
    for path in slide_formats.write_dicom(tmp_path / 'b', levels[1:], '1.2.3.5').iterdir():
        path.rename(folder / f'other_{path.name}')
    with pytest.raises(ConverterError, match=r'a: holds files of two DICOM series.* of its own'):
        list_slides(tmp_path)


def test_wsidicom(tmp_path, levels):
    """Read by wsidicom where it is installed: what lies beyond the slide is white."""
    pytest.importorskip('wsidicom', reason='wsidicom is optional: DICOM is read by OpenSlide too')
    folder = slide_formats.write_dicom(tmp_path / 's' / 'a', levels)
    with SlideReader(folder / 'level1.dcm') as reader:
        info = reader.info
        assert (info.reader, info.mpp, info.objective) == ('wsidicom', (0.25, 0.25), 40)
        assert info.levels == ((640, 512), (320, 256), (160, 128))
        for level, truth in enumerate(levels):
            found = reader.read(level, 70, 50, 80, 60)
            assert np.array_equal(found, truth[50:110, 70:150])
        corner = reader.read(0, 600, 500, 64, 64)
        assert np.array_equal(corner[:12, :40], levels[0][500:, 600:])
        assert corner[12:].min() == corner[:, 40:].min() == 255
    result = convert(tmp_path / 's', tmp_path / 'out', 'a')
    assert told(result)['reader'] == 'wsidicom' and len(result.rows) == 1
