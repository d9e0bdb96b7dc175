import functools

import cv2
import numpy as np
import pytest

from cellgan_plugin.datasets.classes import BETHESDA_CLASSES
from cellgan_plugin.phantom import generate_phantom
from cellgan_plugin.phantom.shapes import fold_over, polygon_area, radial_profile
from cellgan_plugin.phantom.slides import SLIDES_PER_SPLIT
from cellgan_plugin.randomness import rng_for

PATCHES = 40


@functools.cache
def population(label):
    """Forty small patches of a class, shared by the tests that only look at truth."""
    return tuple(generate_phantom(label, 64, seed=3, index=index) for index in range(PATCHES))


def own_cells(label):
    return [cell for patch in population(label) for cell in patch.cells if cell.label == label]


def mean_nucleus(label):
    return np.mean([cell.nucleus_um2 / cell.num_nuclei for cell in own_cells(label)])


def mean_ratio(label):
    return np.mean([cell.nc_ratio for cell in own_cells(label)])


@pytest.mark.parametrize('label', BETHESDA_CLASSES)
@pytest.mark.parametrize('size', (16, 32, 64, 100, 256))
def test_form_at_every_size(label, size):
    patch = generate_phantom(label, size, index=1)
    assert patch.image.shape == (size, size, 3) and patch.image.dtype == np.uint8
    for mask in (patch.instance_mask, patch.nucleus_mask):
        assert mask.shape == (size, size) and mask.dtype == np.uint16
    assert (patch.label, patch.size, patch.index) == (label, size, 1)
    assert patch.image.std() > 8, 'an empty picture'
    assert any(cell.label == label for cell in patch.cells)


def test_a_picture_larger_than_the_texture_bank():
    large = generate_phantom('HSIL', 700, index=1)
    assert large.image.shape == (700, 700, 3)
    shrunk = cv2.resize(large.image, (128, 128), interpolation=cv2.INTER_AREA)
    small = generate_phantom('HSIL', 128, index=1)
    assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.93


def test_same_key_same_bytes_in_any_order():
    keys = [(label, index) for label in BETHESDA_CLASSES for index in (0, 5)]
    first = {key: generate_phantom(key[0], 48, index=key[1]) for key in keys}
    generate_phantom('HSIL', 80, seed=9)
    for key in reversed(keys):
        again = generate_phantom(key[0], 48, index=key[1])
        assert again.image.tobytes() == first[key].image.tobytes()
        assert again.instance_mask.tobytes() == first[key].instance_mask.tobytes()
        assert again.nucleus_mask.tobytes() == first[key].nucleus_mask.tobytes()
        assert again.cells == first[key].cells


def test_the_thread_policy_of_the_caller_does_not_change_the_bytes():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = generate_phantom('LSIL', 128)
        cv2.setNumThreads(2)
        two = generate_phantom('LSIL', 128)
    finally:
        cv2.setNumThreads(threads)
    assert one.image.tobytes() == two.image.tobytes()


def test_every_part_of_the_key_matters():
    base = generate_phantom('NILM', 32).image
    others = [
        generate_phantom('ASC-US', 32),
        generate_phantom('NILM', 32, seed=1),
        generate_phantom('NILM', 32, split='val'),
        generate_phantom('NILM', 32, index=1),
        generate_phantom('NILM', 32, index=SLIDES_PER_SPLIT),
    ]
    for other in others:
        assert np.abs(other.image.astype(int) - base).mean() > 2


@pytest.mark.parametrize('label', BETHESDA_CLASSES)
def test_the_scene_does_not_depend_on_the_size(label):
    small = generate_phantom(label, 64, index=2)
    large = generate_phantom(label, 256, index=2)
    shrunk = cv2.resize(large.image, (64, 64), interpolation=cv2.INTER_AREA)
    likeness = np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1]
    assert likeness > 0.93
    by_place = {(round(c.x / 64, 6), round(c.y / 64, 6)): c.nucleus_um2 for c in small.cells}
    for cell in large.cells:
        place = (round(cell.x / 256, 6), round(cell.y / 256, 6))
        # A sliver at the border may be visible at one size only.
        assert by_place.get(place, cell.nucleus_um2) == pytest.approx(cell.nucleus_um2)
    overlap = (large.instance_mask[2::4, 2::4] > 0) == (small.instance_mask > 0)
    assert overlap.mean() > 0.97


def test_nuclei_follow_bethesda():
    normal = mean_nucleus('NILM')
    assert 30 < normal < 40  # um2; an intermediate cell's nucleus is about 35
    assert 2.2 < mean_nucleus('ASC-US') / normal < 3.3
    assert mean_nucleus('LSIL') / normal > 3
    assert mean_nucleus('LSIL') > mean_nucleus('ASC-US')


def test_nuclear_to_cytoplasmic_ratio_follows_bethesda():
    ratios = [mean_ratio(label) for label in ('NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL')]
    assert ratios == sorted(ratios)
    assert all(cell.nc_ratio > 0.5 for cell in own_cells('HSIL'))
    assert ratios[0] < 0.05
    assert ratios[4] - ratios[3] > 0.1


def test_lsil_is_often_binucleate_and_hsil_crowded():
    assert 0.2 < np.mean([cell.num_nuclei == 2 for cell in own_cells('LSIL')]) < 0.6
    assert not any(cell.num_nuclei == 2 for cell in own_cells('NILM'))
    assert len(own_cells('HSIL')) > 2 * len(own_cells('ASC-H'))


def test_hsil_nuclei_are_darker_than_normal_ones():
    def darkness(label):
        levels = []
        for patch in population(label):
            ids = [cell.id for cell in patch.cells if cell.label == label]
            inside = np.isin(patch.nucleus_mask, ids)
            if inside.any():
                levels.append(patch.image[inside].mean())
        return np.mean(levels)

    assert darkness('HSIL') < darkness('NILM') - 10


@pytest.mark.parametrize('label', BETHESDA_CLASSES)
def test_no_cell_is_worse_than_its_patch(label):
    severity = {name: rank for rank, name in enumerate(BETHESDA_CLASSES)}
    for patch in population(label):
        labels = [cell.label for cell in patch.cells]
        assert label in labels
        assert max(severity[name] for name in labels) == severity[label]


@pytest.mark.parametrize('label', BETHESDA_CLASSES)
def test_masks_and_records_agree(label):
    for patch in population(label):
        count = len(patch.cells)
        assert [cell.id for cell in patch.cells] == list(range(1, count + 1))
        cell_pixels = np.bincount(patch.instance_mask.ravel(), minlength=count + 1)
        nucleus_pixels = np.bincount(patch.nucleus_mask.ravel(), minlength=count + 1)
        assert len(cell_pixels) == len(nucleus_pixels) == count + 1
        for cell in patch.cells:
            assert cell.visible_cell == cell_pixels[cell.id]
            assert cell.visible_nucleus == nucleus_pixels[cell.id]
            assert cell.visible_cell + cell.visible_nucleus > 0
            whole = cell.nucleus_area + cell.cytoplasm_area
            assert cell.nc_ratio == pytest.approx(cell.nucleus_area / whole)
            assert cell.cytoplasm_area > 0
        assert not np.any((patch.nucleus_mask > 0) & (patch.instance_mask == 0))


def test_visible_pixels_match_true_areas_of_free_cells():
    ratios = {'cell': [], 'nucleus': []}
    for index in range(30):
        patch = generate_phantom('NILM', 128, seed=3, index=index)
        if len(patch.cells) == 1 and patch.cells[0].complete:
            cell = patch.cells[0]
            ratios['cell'].append(cell.visible_cell / (cell.nucleus_area + cell.cytoplasm_area))
            ratios['nucleus'].append(cell.visible_nucleus / cell.nucleus_area)
    assert ratios['cell'], 'no lone cell among thirty patches'
    assert np.allclose(ratios['cell'], 1, atol=0.03)
    assert np.allclose(ratios['nucleus'], 1, atol=0.10)


def test_nuclei_show_in_the_picture():
    contrast = []
    for patch in population('NILM'):
        inside = patch.nucleus_mask > 0
        ring = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9))) > 0
        ring &= ~(cv2.dilate(inside.astype(np.uint8), np.ones((5, 5))) > 0)
        contrast.append(patch.image[ring].mean() - patch.image[inside].mean())
    assert np.mean(contrast) > 30


def test_slides_are_shared_by_classes_and_not_by_splits():
    train = {label: generate_phantom(label, 16, index=7).slide for label in BETHESDA_CLASSES}
    assert len(set(train.values())) == 1
    assert generate_phantom('NILM', 16, split='val', index=7).slide not in train.values()
    assert generate_phantom('NILM', 16, index=8).slide not in train.values()


def test_spellings_of_a_class():
    assert generate_phantom('asc_us', 16).label == 'ASC-US'
    same = generate_phantom('ASC-US', 16).image.tobytes()
    assert generate_phantom('asc_us', 16).image.tobytes() == same


@pytest.mark.parametrize('label', ('SCC', 'cat', '', None, 3))
def test_unknown_class(label):
    with pytest.raises(ValueError, match='NILM, ASC-US, LSIL, ASC-H, HSIL'):
        generate_phantom(label)


@pytest.mark.parametrize('size', (15, 0, -4, 64.0, True, None))
def test_bad_size(size):
    with pytest.raises(ValueError, match='at least 16'):
        generate_phantom('NILM', size)


def test_bad_index():
    with pytest.raises(ValueError, match='0 or more'):
        generate_phantom('NILM', 16, index=-1)


def test_area_of_a_square():
    square = np.array([(0, 0), (3, 0), (3, 3), (0, 3)], float)
    assert polygon_area(square) == 9
    assert polygon_area(square[::-1] + 5) == 9


def test_folding_keeps_the_cell_on_its_side_of_the_crease():
    square = np.array([(-1, -1), (1, -1), (1, 0), (1, 1), (-1, 1)], float)
    left, flap = fold_over(square, 0.0, 0.5)
    assert polygon_area(left) == pytest.approx(1.5 * 2)
    assert np.allclose(flap[:, 0], 0)  # x = 1 mirrored at x = 0.5
    same, nothing = fold_over(square, 0.0, 2.0)
    assert same is square and nothing is None


def test_a_profile_without_irregularity_is_an_ellipse_of_unit_area():
    radius = radial_profile(rng_for(0, 'test'), 0.0, 2, 4.0, 0.0)
    assert radius.max() / radius.min() == pytest.approx(4.0)
    assert np.pi * radius.max() * radius.min() == pytest.approx(1, rel=0.02)
