"""Two folders of images: how they are read, and what stands beside the numbers."""

import cv2
import numpy as np
import pytest
import torch
from evaluation_helpers import TinyFeatures, write_images

from cellgan_plugin.datasets.content_hash import content_hashes, to_hex
from cellgan_plugin.datasets.manifest import write_manifest
from cellgan_plugin.datasets.problems import DatasetError
from cellgan_plugin.datasets.views import ALL_VIEWS, apply_view
from cellgan_plugin.evaluation.extractor_accuracy import ExtractorAccuracy, extractor_accuracy
from cellgan_plugin.evaluation.statistics_cache import real_features
from cellgan_plugin.files import write_json
from cellgan_plugin.randomness import rng_for
from cellgan_plugin.runs.evaluate_folders import (
    FolderError,
    classes_of,
    evaluate_folders,
    find_folder,
    folder_dataset,
    settle_names,
)

COUNTS = dict(NILM=20, LSIL=20)


def slopes(folder, counts, seed=0, size=16):
    """Images whose features tell their views apart: a random slope and one bright pixel row."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            rng = rng_for(seed, 'tests/slopes', label, index)
            image = rng.integers(0, 256, (4, 4, 3)).astype(np.float32)
            image = cv2.resize(image, (size, size)) + rng.normal(0, 4, (size, size, 3))
            cv2.imwrite(str(folder / name / f'{index}.png'), image.clip(0, 255).astype(np.uint8))
    return folder


def replayed(source, target, views, seed=0):
    """A generator that shows its training images in random views."""
    for path in source.glob('*/*.png'):
        view = views[int(rng_for(seed, 'tests/view', path.name).integers(len(views)))]
        image = torch.from_numpy(cv2.imread(str(path))).permute(2, 0, 1)
        image = apply_view(image, view).permute(1, 2, 0).contiguous().numpy()
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target / path.parent.name / path.name), image)
    return target


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp('images')
    found = dict(
        train=slopes(root / 'train', dict(NILM=60, LSIL=60)),
        held=slopes(root / 'held', dict(NILM=100, LSIL=100), seed=1),
        new=slopes(root / 'new', dict(NILM=100, LSIL=100), seed=2),
    )
    flips = ALL_VIEWS[:4]
    found['flipped'] = replayed(found['train'], root / 'flipped', flips[1:])
    found['turned'] = replayed(found['train'], root / 'turned', ALL_VIEWS)
    return found


def memorised(images, fake, tmp_path, **options):
    report = evaluate_folders(
        images['held'], images[fake], TinyFeatures(feature_dim=12), distances=['fd'],
        training=images['train'], cache_dir=tmp_path / 'cache', **options,
    )  # fmt: skip
    return report['rows'][-1]['values']['memorised'], report['protocol']['memorised']


def test_copies_are_found_in_the_views_that_training_showed(images, tmp_path):
    flips = ALL_VIEWS[:4]
    said = dict(views=['identity'])
    assert memorised(images, 'train', tmp_path, **said)[0] == 1
    assert memorised(images, 'flipped', tmp_path, **said)[0] < 0.2  # what it was before
    score, protocol = memorised(images, 'flipped', tmp_path, views=flips)
    assert score == 1 and protocol['views'] == list(flips)
    assert memorised(images, 'turned', tmp_path)[0] == 1  # nothing says how: all eight
    score, protocol = memorised(images, 'new', tmp_path)
    assert protocol['false_alarms'] == 2 / 201  # the stated rate, and about what comes out
    assert score <= 0.04
    assert protocol['calibrated_on'] == 'held-out images'


def changed(source, target, change):
    for path in source.glob('*/*.png'):
        (target / path.parent.name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target / path.parent.name / path.name), change(cv2.imread(str(path))))
    return target


@pytest.mark.parametrize('kind', ['JPEG', 'half the size', 'brighter', 'shifted'])
def test_changed_copies_are_found_by_what_they_show(images, tmp_path, kind):
    """Features of small networks set these apart: of classifiers a tenth to a half was found."""
    change = {
        'JPEG': lambda i: cv2.imdecode(cv2.imencode('.jpg', i, [1, 50])[1], 1),
        'half the size': lambda i: cv2.resize(i, None, fx=0.5, fy=0.5),
        'brighter': lambda i: cv2.convertScaleAbs(i, alpha=0.9, beta=20),
        'shifted': lambda i: cv2.copyMakeBorder(i, 0, 0, 1, 0, cv2.BORDER_REFLECT)[:, :-1],
    }[kind]
    large = {name: tmp_path / name for name in ('train', 'held', 'fake')}
    for seed, name in enumerate(('train', 'held')):
        slopes(large[name], dict(NILM=50, LSIL=50), seed=7 + seed, size=64)
    flipped = replayed(large['train'], tmp_path / 'flipped', ALL_VIEWS)
    changed(flipped, large['fake'], change)
    score, protocol = memorised(large, 'fake', tmp_path)
    assert score >= 0.98
    assert protocol['near_copies'] == dict(bits=40, of_held_out=0.0)
    assert memorised(dict(large, fake=large['held']), 'fake', tmp_path)[0] <= 0.02


def test_the_folder_says_which_views_its_generator_was_trained_on(images, tmp_path):
    write_json(images['flipped'] / 'synthesis.json', dict(training_views=['identity', 'vertical']))
    score, protocol = memorised(images, 'flipped', tmp_path)
    assert protocol['views'] == ['identity', 'vertical'] and 0.1 < score < 0.6
    (images['flipped'] / 'synthesis.json').unlink()


def test_few_held_out_images_cannot_promise_what_is_asked(images, tmp_path):
    few = slopes(tmp_path / 'few', dict(NILM=20, LSIL=19), seed=4)
    report = evaluate_folders(
        few, images['new'], TinyFeatures(), distances=['fd'], training=images['train'],
        cache_dir=tmp_path / 'cache',
    )  # fmt: skip
    assert report['protocol']['memorised']['false_alarms'] == 1 / 40
    assert any('up to 2.5% of new real images' in note for note in report['rows'][-1]['notes'])
    leaking = evaluate_folders(
        slopes(tmp_path / 'leaking', dict(NILM=60, LSIL=60)), images['new'], TinyFeatures(),
        distances=['fd'], training=images['train'], cache_dir=tmp_path / 'cache',
    )  # fmt: skip
    notes = leaking['rows'][-1]['notes']
    assert any('held-out images are equal to training images' in note for note in notes)


def test_a_collapsed_generator_is_scored(images, tmp_path):
    fake = write_images(tmp_path / 'fake', dict(NILM=1, LSIL=1))
    image = cv2.imread(str(fake / 'NILM' / '0.png'))
    for name in COUNTS:
        for index in range(12):
            cv2.imwrite(str(fake / name / f'{index}.png'), image)  # one image, for all classes
    rows = evaluate_folders(
        images['held'], fake, TinyFeatures(), cache_dir=tmp_path / 'cache', distances=['fd', 'prdc']
    )['rows']
    good = evaluate_folders(
        images['held'], images['new'], TinyFeatures(), cache_dir=tmp_path / 'cache',
        distances=['fd', 'prdc'],
    )['rows']  # fmt: skip
    assert rows[-1]['values']['FD(tiny0)'] > 3 * good[-1]['values']['FD(tiny0)']
    assert rows[-1]['values']['recall'] == 0 and rows[-1]['values']['coverage'] < 0.1
    (fake / 'NILM' / '0.png').write_bytes(b'no image')
    with pytest.raises(DatasetError, match=r'NILM/0.png'):
        evaluate_folders(images['held'], fake, TinyFeatures(), cache_dir=tmp_path / 'cache')


def test_a_manifest_says_the_classes(images, tmp_path):
    flat = tmp_path / 'flat' / 'images'
    flat.mkdir(parents=True)
    rows = []
    for path in sorted(images['new'].glob('*/*.png')):
        file = f'images/{path.parent.name}_{path.name}'
        (tmp_path / 'flat' / file).write_bytes(path.read_bytes())
        rows.append(dict(file=file, label=path.parent.name, split='train'))
    write_manifest(tmp_path / 'flat' / 'manifest.csv', rows, ('file', 'label', 'split'))
    given = dict(extractor=TinyFeatures(), cache_dir=tmp_path / 'cache', distances=['fd'])
    listed = evaluate_folders(images['held'], tmp_path / 'flat', **given)['rows']
    folders = evaluate_folders(images['held'], images['new'], **given)['rows']
    assert [row['row'] for row in listed] == ['NILM', 'LSIL', 'mean', 'pooled']
    assert [row['values'] for row in listed] == [row['values'] for row in folders]
    assert classes_of(find_folder(f'{tmp_path / "flat"}:train')) == ['LSIL', 'NILM']
    with pytest.raises(FolderError, match="split 'test' of .*flat has no image"):
        evaluate_folders(images['held'], f'{tmp_path / "flat"}:test', **given)
    (tmp_path / 'flat' / 'manifest.csv').write_text('x,y\n1,2\n')  # a foreign table
    assert classes_of(find_folder(tmp_path / 'flat')) == ['images']


def test_classes_are_spelled_as_elsewhere(tmp_path):
    network = TinyFeatures()
    network.classes, network.any_classes = ('NILM', 'ASC-US'), False
    slopes(tmp_path / 'a', dict(ASC_US=12, nilm=12))
    slopes(tmp_path / 'b', {'asc us': 12, 'NILM': 12}, seed=1)
    rows = evaluate_folders(
        tmp_path / 'a', tmp_path / 'b', network, cache_dir=tmp_path / 'cache', distances=['fd']
    )['rows']
    assert [(row['row'], row['real'], row['fake']) for row in rows[:2]] == [
        ('NILM', 12, 12), ('ASC-US', 12, 12),
    ]  # fmt: skip
    assert settle_names([['b', 'NILM'], ['nilm', 'B', 'a']], ()) == ['NILM', 'b', 'a']


def test_mistakes_are_said_with_what_the_tool_has(images, tmp_path):
    network = TinyFeatures()

    def said(real, match, error=FolderError):
        with pytest.raises(error, match=match) as caught:
            evaluate_folders(real, images['new'], network, cache_dir=tmp_path / 'cache')
        assert '--ann-file' not in str(caught.value) and 'metainfo' not in str(caught.value)

    said(tmp_path / 'none', 'none is no folder', FileNotFoundError)
    said(f'{images["held"]}:val', 'has no manifest.csv with the columns file, label and split')
    (tmp_path / 'empty' / 'NILM').mkdir(parents=True)
    said(tmp_path / 'empty', 'has no image of a class; expected <class>/<image>, or a manifest')
    assert not network.calls


def test_links_are_followed_when_asked(images, tmp_path):
    for path in images['new'].glob('*/*.png'):
        (tmp_path / 'kept' / path.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / 'kept' / path.parent.name / path.name).symlink_to(path)
    given = dict(extractor=TinyFeatures(), cache_dir=tmp_path / 'cache', distances=['fd'])
    with pytest.raises(DatasetError, match='follow'):
        evaluate_folders(images['held'], tmp_path / 'kept', **given)
    rows = evaluate_folders(images['held'], tmp_path / 'kept', follow_links=True, **given)['rows']
    assert rows == evaluate_folders(images['held'], images['new'], **given)['rows']


# Accuracy of the extractor -----------------------------------------------------------------------


class Classifier(TinyFeatures):
    """Tiny features with a head that is right for the first class alone, or always."""

    def __init__(self, right, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.any_classes, self.right = ('LSIL', 'NILM', 'HSIL'), False, right
        self.training_images, self.recorded_accuracy = None, None

    def class_scores(self, features):
        scores = torch.zeros(len(features), 3)
        scores[torch.arange(len(features)), self.right(len(features))] = 1
        return scores


def test_accuracy_of_the_classifier_stands_beside_the_numbers(images, tmp_path, caplog):
    dataset = folder_dataset(images['held'], ['NILM', 'LSIL'])

    def accuracy(network):
        real = real_features(dataset, network, tmp_path / 'cache')
        return extractor_accuracy(network, real, dataset)

    ones = Classifier(lambda count: torch.ones(count, dtype=torch.long))
    found = accuracy(ones)  # 'NILM' for every image: all of one class, none of the other
    assert found.accuracy == 0.5 and found.skill == 0.25
    assert 'mean over 2 classes' in str(found) and 'is not known' in str(found)
    [note] = found.remarks()
    assert '50% of the 200 real images' in note and 'guessing (33%)' in note
    ones.training_images = {'0' * 32}
    assert 'is not known' not in str(accuracy(ones))
    # Trained on the real images: what it validated on counts.
    files = sorted(map(str, images['held'].glob('*/*.png')))
    ones.training_images, ones.recorded_accuracy = set(to_hex(content_hashes(files))), 0.9
    assert str(accuracy(ones)).endswith('90% of its validation images')
    assert accuracy(ones).remarks() == []
    ones.recorded_accuracy = None
    assert 'not known' in str(accuracy(ones)) and accuracy(ones).skill is None
    assert accuracy(TinyFeatures()) is None
    report = evaluate_folders(
        images['held'], images['new'], ones, cache_dir=tmp_path / 'cache', distances=['fd']
    )
    assert report['protocol']['extractor_accuracy']['accuracy'] is None
    ones.training_images = None
    report = evaluate_folders(
        images['held'], images['new'], ones, cache_dir=tmp_path / 'cache', distances=['fd']
    )
    assert report['protocol']['extractor_accuracy']['accuracy'] == 0.5
    assert report['rows'][-1]['notes'] == [note]


@pytest.mark.parametrize('accuracy, classes, warned', [
    (0.59, 5, True), (0.61, 5, False), (0.74, 2, True), (0.76, 2, False),
])  # fmt: skip
def test_the_warning_is_half_way_from_guessing(accuracy, classes, warned):
    assert bool(ExtractorAccuracy(accuracy, classes, '').remarks()) == warned
