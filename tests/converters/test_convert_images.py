"""A converter of one's own in one function."""

import csv
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cellgan_plugin.converters import ConverterError, SourceImage, convert_images
from cellgan_plugin.datasets import CellPatchDataset

CLASSES = ('a', 'b')


def pixels(number):
    return np.full((20, 30, 3), number, np.uint8)


def images(count=12):
    return [
        SourceImage(f'{i:02d}', CLASSES[i % 2], f'slide{i // 4}', lambda i=i: pixels(i), f'box:{i}')
        for i in range(count)
    ]


def rows_of(folder):
    with open(folder / 'manifest.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_writes_a_data_set_split_by_group_and_continues(tmp_path):
    out = tmp_path / 'out'
    result = convert_images('mine', images(), out, CLASSES, size=16, fractions=(0.4, 0.3, 0.3))
    rows = rows_of(out)
    assert [row['file'] for row in rows][:2] == ['a/00.png', 'a/02.png'] and len(rows) == 12
    assert rows[1]['source'] == 'box:2'
    sides = {row['group']: row['split'] for row in rows}
    assert sorted(sides.values()) == ['test', 'train', 'val']
    assert all(row['split'] == sides[row['group']] for row in rows)
    assert (cv2.imread(str(out / 'b' / '05.png')) == 5).all()
    assert cv2.imread(str(out / 'b' / '05.png')).shape == (16, 16, 3)
    assert '12 images written' in result.lines[-1]
    dataset = CellPatchDataset(
        str(out), 'manifest.csv', dict(classes=CLASSES), split='train', pipeline=[]
    )
    assert len(dataset) == 4

    (out / 'b' / '05.png').unlink()
    (out / 'manifest.csv').unlink()
    again = convert_images('mine', images(), out, CLASSES, size=16, fractions=(0.4, 0.3, 0.3))
    assert '1 images written, 11 were there already' in again.lines[-1]
    assert rows_of(out) == rows
    with pytest.raises(ConverterError, match='made from something else'):
        convert_images('mine', images(8), out, CLASSES, size=16, fractions=(0.4, 0.3, 0.3))


def test_files_and_published_splits(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), pixels(7))
    given = [
        SourceImage('one', 'a', 'p1', tmp_path / 'x.png', split='train'),
        SourceImage('two', 'b', 'p2', lambda: pixels(9), split='test'),
    ]
    convert_images('mine', given, tmp_path / 'out', CLASSES)
    assert [(r['split'], r['source']) for r in rows_of(tmp_path / 'out')] == [
        ('train', 'x.png'), ('test', 'two'),
    ]  # fmt: skip
    assert (cv2.imread(str(tmp_path / 'out' / 'a' / 'one.png')) == 7).all()
    cv2.imwrite(str(tmp_path / 'x.png'), pixels(8))
    with pytest.raises(ConverterError, match='images: other content'):
        convert_images('mine', given, tmp_path / 'out', CLASSES)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(label='c'), r"classes \['c'\] are none of \['a', 'b'\]"),
        (dict(name='../x'), r'1 name\(s\) cannot be file names \(box:3\)'),
        (dict(name='01'), r'1 name\(s\) occur twice in a class: b/01.png'),
        (dict(group=''), '1 images have no group: box:3'),
        (dict(split='train'), r"splits are \['', 'train'\]; expected one of train, val, test"),
        (dict(image=lambda: np.zeros((4, 4))), r'box:3: got float64 of shape \(4, 4\)'),
    ],
)
def test_what_cannot_be_converted_is_named(tmp_path, change, message):
    listed = images()
    listed[3] = replace(listed[3], **change)
    with pytest.raises(ConverterError, match=message):
        convert_images('mine', listed, tmp_path / 'out', CLASSES)
    assert not (tmp_path / 'out' / 'manifest.csv').exists()


def test_a_group_in_two_published_splits_is_refused(tmp_path):
    listed = [replace(i, split='train') for i in images(3)] + [replace(images(4)[3], split='test')]
    with pytest.raises(ConverterError, match=r'1 group\(s\) are in two splits: slide0'):
        convert_images('mine', listed, tmp_path / 'out', CLASSES)
    with pytest.raises(ConverterError, match='no image to convert'):
        convert_images('mine', [], tmp_path / 'out', CLASSES)
