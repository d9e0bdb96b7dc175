"""The same picture twice among real images, under two slides, in two classes, in two splits."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.benchmark import near_copies
from cellgan_plugin.benchmark.fixed_split import plan_fixed
from cellgan_plugin.benchmark.fold_plan import Fold, FoldError, FoldPlan
from cellgan_plugin.benchmark.folds import plan_folds
from cellgan_plugin.benchmark.leak import check_leak
from cellgan_plugin.benchmark.near_copies import join_near_copies
from cellgan_plugin.benchmark.synthetic import HashCache, real_samples
from cellgan_plugin.phantom import write_phantom_dataset

CLASSES = ('NILM', 'LSIL')
TURN = Image.Transpose


@pytest.fixture(scope='module')
def samples(tmp_path_factory):
    """Sixteen images of eight slides, and changed copies of two of them under other slides."""
    root = tmp_path_factory.mktemp('near') / 'real'
    write_phantom_dataset(root, size=48, splits=dict(train=dict.fromkeys(CLASSES, 8)), seed=3)
    (root / 'manifest.csv').unlink()
    first, second = sorted((root / 'NILM').iterdir())[:2]
    image = Image.open(first)
    image.transpose(TURN.ROTATE_90).save(root / 'NILM' / 'x_turned.jpg', quality=60)
    image.resize((30, 30)).save(root / 'NILM' / 'y_small.png')
    Image.open(second).transpose(TURN.FLIP_LEFT_RIGHT).save(root / 'LSIL' / 'z_flipped.png')
    found = real_samples(dict(data_root=root), CLASSES, HashCache(root.parent))
    found = [replace(s, group=f'slide{n // 2}') for n, s in enumerate(found)]
    joined, notes = join_near_copies(found, HashCache(root.parent))
    assert not notes
    return joined


def of(samples, name):
    (found,) = [s for s in samples if name in s.file]
    return found


def test_near_copies_show_one_picture_and_stay_on_one_side(samples):
    original = min((s for s in samples if s.label == 0), key=lambda s: s.file)
    turned, small = of(samples, 'x_turned'), of(samples, 'y_small')
    assert len({original.picture, turned.picture, small.picture}) == 1
    assert len({original.content, turned.content, small.content}) == 3
    assert len({s.picture for s in samples}) == len(samples) - 3
    plan = plan_folds(samples, CLASSES, 3)
    for fold in plan.folds:
        sides = [{plan.samples[i].picture for i in part} for part in fold.parts().values()]
        assert not set.intersection(*sides)
    text = '\n'.join(plan.notes)
    assert '3 of 19 images are near copies of another one' in text
    assert '1 of these pictures are in two classes' in text and 'z_flipped.png (LSIL)' in text
    assert 'groups share copies of images' in text  # the slides are joined, too
    again = FoldPlan.from_dict(plan.to_dict())
    assert again == plan


def test_a_plan_that_tears_them_apart_cannot_be_made(samples):
    alone = [replace(s, group=None) for s in samples]
    torn = [n for n, s in enumerate(alone) if 'x_turned' in s.file]
    rest = [n for n in range(len(alone)) if n not in torn]
    with pytest.raises(FoldError, match='near copies of image content'):
        FoldPlan(tuple(alone), CLASSES, (Fold(tuple(rest), tuple(torn)),), 0)


def test_they_do_not_train_beside_the_own_test_images_of_a_data_set(samples):
    alone = [replace(s, group=None) for s in samples]
    test = [of(alone, 'x_turned'), *[s for s in alone if s.label == 1][:5]]
    train = [s for s in alone if s not in test]
    plan = plan_fixed(dict(train=train, test=test), CLASSES)
    pictures = {s.picture for s in test}
    kept = [plan.samples[i] for i in plan.folds[0].train]
    assert len(kept) == sum(s.picture not in pictures for s in train) < len(train)
    assert any('are copies of one that tests' in note for note in plan.notes)


def test_a_generator_that_trained_on_a_near_copy_of_a_test_image_leaks(samples):
    plan = plan_folds([replace(s, group=None) for s in samples], CLASSES, 3)
    trained = of(samples, 'x_turned').content
    fold = next(
        n for n, f in enumerate(plan.folds) if of(samples, 'x_turned').file
        in {plan.samples[i].file for i in f.test}
    )  # fmt: skip
    report = check_leak(plan, 'G', {trained})
    assert [leak.fold for leak in report.found] == [fold]
    (leak,) = report.found
    assert len(leak.files) == 1 and len(leak.near_files) == 2
    # All but the fold's test images, of which no other picture remains, may train.
    outside = plan.outside(fold, samples)
    held = {plan.samples[i].picture for i in plan.folds[fold].test}
    assert not held & {s.picture for s in outside} and outside


def test_the_order_of_a_listing_does_not_matter(samples, tmp_path):
    plain = [replace(s, near='') for s in samples]
    joined, _ = join_near_copies(plain[::-1], HashCache(tmp_path))
    assert joined[::-1] == samples


def test_single_cells_on_an_empty_background_are_told_apart_strictly(tmp_path):
    """Ellipses in the middle are nearly one picture to a hash of low frequencies."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(60):
        image = np.full((48, 48), 235, np.uint8)
        for least, most, grey in ((16, 22, 150), (4, 10, 70)):
            axes = rng.integers(least, most, 2).tolist()
            cv2.ellipse(image, (24, 24), axes, float(rng.integers(180)), 0, 360, grey, -1)
        image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 3, image.shape)
        files.append(tmp_path / f'NILM/{number:02d}.png')
        files[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(files[-1])
    Image.open(files[0]).transpose(TURN.ROTATE_90).save(tmp_path / 'NILM/copy.png')
    (tmp_path / 'LSIL').mkdir()
    Image.open(files[1]).transpose(TURN.FLIP_TOP_BOTTOM).save(tmp_path / 'LSIL/copy.png')
    samples = real_samples(dict(data_root=tmp_path), CLASSES, HashCache(tmp_path))
    joined, (note,) = join_near_copies(samples, HashCache(tmp_path))
    assert 'resemble each other so much' in note
    pairs = [
        {'/'.join(s.file.split('/')[-2:]) for s in pair}
        for pair in itertools.combinations(joined, 2) if pair[0].picture == pair[1].picture
    ]  # fmt: skip
    assert len(pairs) == 2
    assert {'NILM/00.png', 'NILM/copy.png'} in pairs and {'NILM/01.png', 'LSIL/copy.png'} in pairs


def test_more_images_than_can_be_compared_are_said(samples, monkeypatch, tmp_path):
    monkeypatch.setattr(near_copies, 'MOST', 10)
    plain = [replace(s, near='') for s in samples]
    same, (note,) = join_near_copies(plain, HashCache(tmp_path))
    assert same == plain and '19 real images were not looked for' in note
