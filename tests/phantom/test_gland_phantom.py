"""Phantom glands: pictures, masks and folders from a key."""

from pathlib import Path

import numpy as np
import pytest
from programs import run_program
from scipy import ndimage

from cellgan_plugin.datasets import TissueMaskDataset, load_image, load_mask
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.phantom.glands import (
    GLAND_CATEGORIES,
    generate_gland_phantom,
    write_gland_phantom,
)
from cellgan_plugin.records import RecordError

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools' / 'dataset_converters' / 'gland_phantom.py'


def masks(category, index, size=160):
    return generate_gland_phantom(category, size, 0, 'train', index, masks_only=True)


def outline_roughness(mask) -> float:
    """Mean perimeter over that of discs of the same areas, of glands that the edge does not cut."""
    ratios = []
    for number, where in enumerate(ndimage.find_objects(mask), start=1):
        edges = [(s.start == 0, s.stop == side) for s, side in zip(where, mask.shape, strict=True)]
        gland = np.pad(mask[where] == number, 1)
        if not np.any(edges) and gland.sum() > 100:
            perimeter = (gland & ~ndimage.binary_erosion(gland)).sum()
            ratios.append(perimeter / np.sqrt(gland.sum()))
    return float(np.mean(ratios)) if ratios else np.nan


@pytest.mark.parametrize('category', GLAND_CATEGORIES)
@pytest.mark.parametrize('size', [16, 64, (96, 131), (150, 90)])
def test_form_at_every_size(category, size):
    made = generate_gland_phantom(category, size, 3, 'val', 2)
    height, width = (size, size) if isinstance(size, int) else size
    assert made.image.shape == (height, width, 3) and made.image.dtype == np.uint8
    assert made.instance_mask.shape == made.class_mask.shape == (height, width)
    ids = np.unique(made.instance_mask)
    assert ids[ids > 0].tolist() == list(range(1, made.num_glands + 1))
    assert ((made.class_mask > 0) == (made.instance_mask > 0)).all()
    assert set(np.unique(made.class_mask)) <= {0, 1, 2}
    assert made.num_glands >= 1 and made.image.std() > 10
    assert made.grade == ('benign' if category in ('healthy', 'adenomatous') else 'malignant')
    assert made.um_per_px == 320 / min(height, width)


def test_same_key_same_bytes_and_every_part_of_the_key_matters():
    key = dict(category='healthy', size=64, seed=1, split='train', index=5)
    first = generate_gland_phantom(**key)
    generate_gland_phantom('poorly differentiated', 64)
    again = generate_gland_phantom(**key)
    assert (first.image == again.image).all() and (first.instance_mask == again.instance_mask).all()
    alone = generate_gland_phantom(**key, masks_only=True)
    assert alone.image is None
    assert (alone.instance_mask == first.instance_mask).all()
    assert (alone.class_mask == first.class_mask).all()
    for change in (dict(category='adenomatous'), dict(seed=2), dict(split='test'), dict(index=6)):
        other = generate_gland_phantom(**{**key, **change})
        assert (other.image != first.image).mean() > 0.5, change
        assert (other.instance_mask != first.instance_mask).any(), change


@pytest.mark.parametrize('category', GLAND_CATEGORIES)
def test_the_scene_does_not_depend_on_the_size(category):
    small, large = masks(category, 1, 80), masks(category, 1, 320)
    shrunk = large.class_mask[2::4, 2::4]  # half a large pixel off
    assert (shrunk != small.class_mask).mean() < 0.025
    assert small.num_glands <= large.num_glands <= small.num_glands + 3  # slivers at the edge


def test_glands_are_whole_and_some_touch():
    touching = 0
    for index in range(12):
        mask = masks('poorly differentiated', index).instance_mask.astype(int)
        for axis in (0, 1):
            first, second = (
                np.take(mask, range(*span), axis) for span in ((0, -1 + 160), (1, 160))
            )
            touching += int(((first != second) & (first > 0) & (second > 0)).sum())
    assert touching > 50
    parts = []
    for category in GLAND_CATEGORIES:
        mask = masks(category, 0).instance_mask
        parts += [ndimage.label(mask == k, np.ones((3, 3)))[1] for k in range(1, mask.max() + 1)]
    assert np.mean(np.array(parts) == 1) > 0.9


def test_shape_and_crowding_follow_the_grade():
    roughness, count, lumen = {}, {}, {}
    for category in GLAND_CATEGORIES:
        made = [masks(category, index) for index in range(8)]
        roughness[category] = np.nanmean([outline_roughness(m.instance_mask) for m in made])
        count[category] = np.mean([m.num_glands for m in made])
        gland = sum((m.class_mask > 0).sum() for m in made)
        lumen[category] = sum((m.class_mask == 2).sum() for m in made) / gland
        assert 0.3 < gland / (8 * 160**2) < 0.85
    healthy, adenoma, moderate, mixed, poor = GLAND_CATEGORIES
    assert roughness[healthy] < roughness[adenoma] < roughness[moderate] < roughness[poor]
    assert count[poor] > 1.3 * count[moderate]
    assert lumen[poor] < 0.5 * lumen[healthy] and lumen[moderate] > lumen[mixed] > lumen[poor]


def test_the_picture_shows_what_the_masks_say():
    for category in GLAND_CATEGORIES:
        made = generate_gland_phantom(category, 160, 0, 'train', 0)
        grey = made.image.mean(axis=2)
        # Lumina are bright, epithelium is dark, and glands differ from stroma in colour.
        means = [grey[made.class_mask == k].mean() for k in range(3)]
        assert means[2] > means[1] + 40, category
        redness = made.image[..., 0].astype(float) - made.image[..., 2]
        stroma, gland = (redness[made.class_mask == k].mean() for k in (0, 1))
        assert stroma > gland + 2, category


def test_patients_are_shared_by_categories_and_not_by_splits():
    names = {
        split: {
            generate_gland_phantom(c, 16, 0, split, i, True).patient
            for c in GLAND_CATEGORIES[:2]
            for i in range(3)
        }
        for split in ('train', 'test')
    }
    assert len(names['train']) == 3 and not names['train'] & names['test']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(category='NILM'), 'no gland phantom for'),
        (dict(category='healthy', size=8), 'at least 16 pixels'),
        (dict(category='healthy', size=(32, 400)), 'more than six times'),
        (dict(category='healthy', size=(32, 32, 3)), 'a height and a width'),
        (dict(category='healthy', index=-1), 'index must be 0 or more'),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_gland_phantom(**arguments)


# Folders ----------------------------------------------------------------------------------------


def test_a_folder_is_a_data_set(tmp_path):
    write_gland_phantom(tmp_path, dict(train=2, test=1), size=48)
    rows = read_manifest(tmp_path / 'manifest.csv')
    assert len(rows) == 15
    assert {row['label'] for row in rows} == {'benign', 'malignant'}
    assert {row['category'] for row in rows} == set(GLAND_CATEGORIES)
    row = rows[0]
    made = generate_gland_phantom(row['category'], 48, 0, 'train', 0)
    assert (load_image(str(tmp_path / row['file'])) == made.image).all()
    assert (load_mask(str(tmp_path / row['mask'])) == made.instance_mask).all()
    assert (load_mask(str(tmp_path / row['classes'])) == made.class_mask).all()
    options = dict(
        data_root=str(tmp_path), ann_file='manifest.csv', split='train', cache='ram',
        pipeline=[dict(type='PackTissueInputs')],
    )  # fmt: skip
    assert len(TissueMaskDataset(**options, instances='binary', with_instances=True)) == 10
    six = TissueMaskDataset(
        **options, instances='label', label_column='category',
        metainfo=dict(classes=['stroma', *GLAND_CATEGORIES]),
    )  # fmt: skip
    assert six[9]['inputs']['mask'].unique().tolist() == [0, 5]
    parts = TissueMaskDataset(
        **options, mask_column='classes', metainfo=dict(classes=['stroma', 'epithelium', 'lumen'])
    )
    assert parts[0]['inputs']['mask'].max() == 2


def test_a_stopped_run_goes_on_and_may_grow_but_not_change(tmp_path):
    write_gland_phantom(tmp_path / 'a', dict(train=1), size=32, categories=['healthy'])
    lost = tmp_path / 'a' / 'masks' / 'train_healthy_00000.png'
    before = lost.read_bytes()
    lost.unlink()
    kept = tmp_path / 'a' / 'images' / 'train_healthy_00000.png'
    write_gland_phantom(tmp_path / 'a', dict(train=2), size=32, categories=['healthy'], workers=2)
    assert lost.read_bytes() == before
    write_gland_phantom(tmp_path / 'b', dict(train=2), size=32, categories=['healthy'])
    for path in sorted((tmp_path / 'b').rglob('*.png')):
        assert path.read_bytes() == (tmp_path / 'a' / path.relative_to(tmp_path / 'b')).read_bytes()
    assert kept.is_file()
    for change in (dict(size=48), dict(seed=1), dict(splits=dict(train=1)), dict(masks_only=True)):
        arguments = dict(splits=dict(train=2), size=32, categories=['healthy'])
        with pytest.raises(RecordError, match='was made from something else'):
            write_gland_phantom(tmp_path / 'a', **{**arguments, **change})
    with pytest.raises(RecordError, match='holds other files'):
        write_gland_phantom(tmp_path, dict(train=1))
    with pytest.raises(ValueError, match='must be a whole number of at least 1'):
        write_gland_phantom(tmp_path / 'c', dict(train=0))
    with pytest.raises(ValueError, match='becomes part of file names'):
        write_gland_phantom(tmp_path / 'c', {'../x': 1})
    assert not (tmp_path / 'c').exists()


def test_command_line(tmp_path):
    def run(*arguments):
        return run_program(TOOL, '--out', tmp_path / 'data', '--quiet', *arguments, check=False)

    made = run('--size', '32', '48', '--splits', 'train=1', '--sheet', str(tmp_path / 'sheet.png'))
    assert made.returncode == 0, made.stderr
    assert load_image(str(tmp_path / 'sheet.png')).shape[0] > 5 * 32
    assert load_image(str(next((tmp_path / 'data' / 'images').glob('*.png')))).shape == (32, 48, 3)
