import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from programs import run_program
from tiny_segmenters import DarkIsGland, write_pairs

from cellgan_plugin.datasets import DatasetError
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.datasets.whole_images import MaskMeaning, files_by_name, list_whole_images
from cellgan_plugin.evaluation.segmentation import (
    ObjectRule,
    object_statistics,
    part_scores,
    pooled,
    split_instances,
)
from cellgan_plugin.records import RecordError
from cellgan_plugin.runs.config_values import training_scale
from cellgan_plugin.segmentation import segment as segment_module
from cellgan_plugin.segmentation.evaluate_masks import evaluate_masks, read_scores
from cellgan_plugin.segmentation.segment import segment

REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('pairs'))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A config and a checkpoint of the segmenter."""
    folder = tmp_path_factory.mktemp('run')
    dataset = dict(
        type='TissueMaskDataset', metainfo=dict(classes=['stroma', 'gland']), instances='binary'
    )
    config = Config(
        dict(
            model=dict(type='DarkIsGland'),
            train_dataloader=dict(dataset=dataset),
            default_scope='mmagic',
        )
    )
    config.dump(folder / 'run.py')
    torch.save(dict(state_dict=DarkIsGland().state_dict(), meta={}), folder / 'iter_1.pth')
    return folder / 'run.py', folder / 'iter_1.pth'


def test_masks_overlays_and_tables_of_whole_images(pairs, run, tmp_path):
    out = tmp_path / 'out'
    found = segment(
        *run,
        pairs,
        out,
        split='test',
        parts=dict(A='testA_', B='testB_'),
        rule=dict(min_area=20, fill_holes=True),
    )
    assert found.made == 4 and len(found.images) == 4
    statistics = []
    for image in found.images:
        pixels = cv2.imread(str(image.image))[..., ::-1]
        expected = (pixels.mean(axis=2) < 127.5).astype(np.uint8)
        classes = load_mask(str(out / 'classes' / f'{image.name}.png'))
        assert classes.dtype == np.uint8 and (classes == expected).all()
        objects = load_mask(str(out / 'instances' / f'{image.name}.png'))
        assert (objects == split_instances(classes, 20, True)).all()
        assert objects[0, 0] == 0 and objects.max() == 3
        overlay = cv2.imread(str(out / 'overlays' / f'{image.name}.png'))[..., ::-1]
        changed = (overlay != pixels).any(axis=2)
        assert 0 < changed.sum() < 0.5 * changed.size
        statistics.append(object_statistics(objects, load_mask(str(image.mask))))

    # One row per image, and the parts of the test set pooled.
    rows = list(csv.DictReader(open(out / 'metrics.csv', encoding='utf-8')))
    assert [row['image'] for row in rows] == [image.name for image in found.images]
    assert float(rows[0]['object_dice']) == pytest.approx(statistics[0].dice)
    table = json.loads((out / 'table.json').read_text())['rows']
    assert [row['part'] for row in table] == ['A', 'B', 'together']
    assert table[0]['object_dice'] == pytest.approx(pooled(statistics[1::2]).dice)
    assert table[2]['object_f1'] == pytest.approx(pooled(statistics).f1) == 1
    assert table[2]['images'] == 4 and 0.9 < table[2]['mIoU'] < 1  # the speck
    scores, classes = read_scores(out / 'scores.json')
    again = part_scores(scores, classes)
    assert again['together']['mIoU'] == pytest.approx(table[2]['mIoU'])
    assert (out / 'masks.png').is_file() and 'gland' in (out / 'masks.txt').read_text()


def test_goes_on_after_an_interruption(pairs, run, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    load = segment_module.load_image

    def stop_at_the_third(path):
        if path.endswith('2.png'):
            raise KeyboardInterrupt
        return load(path)

    monkeypatch.setattr(segment_module, 'load_image', stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        segment(*run, pairs, out, split='test')
    before = files_by_name(out / 'classes')
    assert 0 < len(before) < 4 and not list(out.rglob('*.tmp'))
    times = {name: path.stat().st_mtime_ns for name, path in before.items()}
    monkeypatch.undo()
    found = segment(*run, pairs, out, split='test')
    assert found.made == 4 - len(before)
    after = files_by_name(out / 'classes')
    assert all(after[name].stat().st_mtime_ns == time for name, time in times.items())
    assert segment(*run, pairs, out, split='test').made == 0
    # Other settings would mix two kinds of masks.
    with pytest.raises(RecordError, match='rule.min_area: 0 there, 5 now'):
        segment(*run, pairs, out, split='test', rule=dict(min_area=5))


def test_model_sees_images_at_the_scale_of_its_training(pairs, run, tmp_path):
    config = Config.fromfile(run[0])
    dataset = config.train_dataloader.dataset
    dataset.tile, dataset.pipeline = 32, [dict(type='FitTissue', out_size=16)]
    assert training_scale(config) == 0.5
    assert training_scale(Config(dict())) == 1
    found = segment(config, run[1], pairs, tmp_path / 'out', split='test')
    for image in found.images:
        pixels = cv2.imread(str(image.image))[..., ::-1].astype(np.float32)
        height, width = pixels.shape[:2]
        half = max(1, round(height / 2)), max(1, round(width / 2))
        small = cv2.resize(pixels, half[::-1], interpolation=cv2.INTER_AREA).round() / 127.5 - 1
        logits = torch.from_numpy(-2 * small.mean(axis=2))[None, None]
        gland = torch.nn.functional.interpolate(logits.sigmoid(), (height, width), mode='bilinear')
        classes = load_mask(str(tmp_path / 'out' / 'classes' / f'{image.name}.png'))
        assert (classes != (gland[0, 0] > 0.5).numpy()).mean() < 0.002  # rounding of resized pixels
    dataset.tile = None
    with pytest.raises(ValueError, match='give its dataset a tile'):
        training_scale(config)
    dataset.pipeline = [dict(type='FitTissue', scale=0.25)]
    assert training_scale(config) == 0.25


def test_folders_of_images_and_masks(pairs, run, tmp_path):
    plain = segment(*run, pairs / 'images', tmp_path / 'a', overlays=False)
    assert plain.made == 5 and [p.name for p in plain.files] == ['masks.png']
    assert not (tmp_path / 'a' / 'overlays').exists()
    known = segment(*run, pairs / 'images', tmp_path / 'b', masks=pairs / 'masks')
    assert {'table.md', 'metrics.csv'} <= {p.name for p in known.files}

    # The same from elsewhere: class masks of 0 and 255 beside true masks of object ids.
    foreign = tmp_path / 'foreign'
    for name, path in files_by_name(tmp_path / 'b' / 'classes').items():
        write_png(foreign / f'{name}_pred.png', load_mask(str(path))[..., None] * np.uint8(255))
    options = dict(
        classes=['stroma', 'gland'], true_instances='binary', pred_suffix='_pred',
        pred_map={'0': 0, '255': 1},
    )  # fmt: skip
    scores, table = evaluate_masks(foreign, pairs / 'masks', **options)
    ours, _ = read_scores(tmp_path / 'b' / 'scores.json')
    assert [s.objects for s in scores] == [s.objects for s in ours]
    assert [row['part'] for row in table.rows] == ['together']
    with pytest.raises(ValueError, match='holds the value 255, which mask_map'):
        evaluate_masks(foreign, pairs / 'masks', **{**options, 'pred_map': {0: 0}})
    with pytest.raises(ValueError, match='value 255; with 2 classes'):
        evaluate_masks(foreign, pairs / 'masks', **{**options, 'pred_map': None})


def test_class_of_true_objects_stands_where_the_config_says(pairs, run, tmp_path):
    """Six categories: the manifest's ``label`` is another thing, as GlaS' grade is."""
    lines = (pairs / 'manifest.csv').read_text().splitlines()
    rows = [f'{lines[0]},category', *[f'{line},gland' for line in lines[1:]]]
    manifest = pairs / 'categories.csv'
    manifest.write_text('\n'.join(rows) + '\n')
    config = Config.fromfile(run[0])
    config.train_dataloader.dataset.update(instances='label', label_column='category')
    found = segment(config, run[1], manifest, tmp_path / 'out', split='test')
    scores, _ = read_scores(found.out / 'scores.json')
    assert len(scores) == 4 and part_scores(scores, ['stroma', 'gland'])['together']['mIoU'] > 0.9
    again, _ = evaluate_masks(
        found.out / 'classes', manifest, ['stroma', 'gland'], split='test',
        true_instances='label', label_column='category',
    )  # fmt: skip
    assert all((a.confusion == b.confusion).all() for a, b in zip(again, scores, strict=True))


def test_object_ids_from_elsewhere(pairs):
    scores, _ = evaluate_masks(
        pairs / 'masks', pairs, split='test', true_instances='binary', pred_instances=True
    )
    assert len(scores) == 4
    assert all(s.objects.f1 == 1 and s.objects.dice == 1 for s in scores)


def test_what_a_user_may_get_wrong(pairs, run, tmp_path):
    with pytest.raises(FileNotFoundError, match='is no folder'):
        segment(*run, tmp_path / 'nothing', tmp_path / 'out')
    with pytest.raises(DatasetError, match="no row has split 'val'"):
        segment(*run, pairs, tmp_path / 'out', split='val')
    (tmp_path / 'few').mkdir()
    for path in list((pairs / 'masks').iterdir())[:2]:
        (tmp_path / 'few' / path.name).write_bytes(path.read_bytes())
    with pytest.raises(FileNotFoundError, match='no mask for 3 of 5 images'):
        segment(*run, pairs / 'images', tmp_path / 'out', masks=tmp_path / 'few')
    with pytest.raises(FileNotFoundError, match='no prediction for 3 of 5 images'):
        evaluate_masks(tmp_path / 'few', pairs / 'masks', true_instances='binary')
    # A true mask of another size is found before its image is called done.
    other = write_pairs(tmp_path / 'other', 2)
    name = 'testB_0.png'
    write_png(other / 'masks' / name, load_mask(str(other / 'masks' / name))[:-1, :, None])
    with pytest.raises(ValueError, match=f'{name} is .* px, its mask .*: they must have one size'):
        segment(*run, other, tmp_path / 'out', split='test')
    twins = write_pairs(tmp_path / 'twins', 2)
    (twins / 'images' / 'testB_0.bmp').write_bytes(b'')
    text = (twins / 'manifest.csv').read_text()
    (twins / 'manifest.csv').write_text(text + 'images/testB_0.bmp,,test,p9,benign\n')
    with pytest.raises(ValueError, match='2 images are called testB_0 but for their extension'):
        list_whole_images(twins, 'test')
    config = Config.fromfile(run[0])
    config.model = dict(type='CellGANGenerator', out_size=32, num_classes=2, noise_size=4)
    checkpoint = tmp_path / 'other.pth'
    from mmagic.registry import MODELS

    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), checkpoint)
    with pytest.raises(ValueError, match='CellGANGenerator does not segment'):
        segment(config, checkpoint, pairs / 'images', tmp_path / 'out')


def test_classes_from_the_manifest(pairs):
    images = list_whole_images(pairs, 'test')
    meaning = MaskMeaning(('stroma', 'malignant', 'benign'), instances='label')
    semantic, instances = meaning.read(images[0])
    assert set(np.unique(semantic)) == {0, 2} and set(np.unique(instances)) == {0, 300, 301, 302}
    with pytest.raises(ValueError, match="label 'benign' is none of"):
        MaskMeaning(('stroma', 'malignant'), instances='label').read(images[0])
    assert ObjectRule().predicted(semantic).max() == 3


def test_tool_scores_two_folders(pairs, tmp_path):
    done = run_program(
        'tools/evaluate_masks.py', pairs / 'masks', pairs / 'masks', '--true-instances', 'binary',
        '--pred-instances', '--out', tmp_path, '--parts', 'A=testA_', 'B=testB_', 'train=train_',
    )  # fmt: skip
    assert '| together |' in done.stdout.replace('  ', ' ') and '| A |' in done.stdout
    assert (tmp_path / 'table.tex').is_file()
