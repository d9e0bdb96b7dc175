"""Image + mask pairs from masks: what they depend on, changed classes, and what is refused."""

import csv

import cv2
import numpy as np
import pytest
import torch
from hugging_face import load_with_datasets
from mmengine.config import Config
from tiny_pyramid import DISCRIMINATOR, GENERATOR, SCALES, SEGMENTER, tiny_model

from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.datasets.mask_io import load_mask
from cellgan_plugin.errors import SynthesisError
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.randomness import derive_seed
from cellgan_plugin.records import RecordError
from cellgan_plugin.runs.trained_model import load_model
from cellgan_plugin.synthesis import mask_batches
from cellgan_plugin.synthesis.tissue import synthesize_tissue

CLASSES = ['stroma', 'healthy', 'poorly differentiated']
pytestmark = pytest.mark.usefixtures('mmagic_scope')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A model of 32 px tiles whose data has 64 px, its checkpoint, and masks of two sizes."""
    root = tmp_path_factory.mktemp('tissue')
    parts = dict(generator=GENERATOR, discriminator=DISCRIMINATOR, segmenter=SEGMENTER)
    config = Config(
        dict(
            default_scope='mmagic',
            model=dict(type='PyramidGAN', num_classes=3, scales=list(SCALES), **parts),
            train_dataloader=dict(
                dataset=dict(
                    metainfo=dict(classes=CLASSES),
                    instances='label',
                    label_column='category',
                    tile=64,
                    pipeline=[dict(type='FitTissue', out_size=32)],
                )
            ),
        )
    )
    config.dump(root / 'run.py')
    model = tiny_model(3)
    model.begin_scale(2)
    for network in model.generators:
        torch.nn.init.normal_(network.last.weight, std=0.1)
    torch.save(dict(state_dict=model.state_dict(), meta={}), root / 'iter_9.pth')
    rows = [('file', 'category', 'mask', 'split')]
    for name, size in (('a', (64, 64)), ('b', (64, 96)), ('c', (64, 64))):
        ids = np.zeros(size, np.uint8)
        ids[8:40, 8:40], ids[44:60, 44:60] = 7, 9
        write_png(root / 'masks' / f'{name}.png', ids)
        rows.append((f'images/{name}.png', 'healthy', f'masks/{name}.png', 'test'))
    with open(root / 'manifest.csv', 'w', newline='') as file:
        csv.writer(file).writerows(rows)
    return root


def make(run, out, **kwargs):
    options = dict(masks=run / 'manifest.csv', per_mask=2, device='cpu')
    return synthesize_tissue(
        run / 'run.py', run / 'iter_9.pth', out=run / out, **{**options, **kwargs}
    )


def images(folder):
    return {path.name: load_image(str(path)) for path in sorted((folder / 'images').iterdir())}


def test_pairs_are_what_the_model_makes_of_the_fitted_mask(run):
    made = make(run, 'plain')
    assert made.images == made.made == 6
    mask = load_mask(str(made.out / 'masks' / 'b.png'))
    source = load_mask(str(run / 'masks' / 'b.png'))
    fitted = cv2.resize(source, (48, 32), interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.array_equal(mask, (fitted > 0).astype(np.uint8)), 'healthy is class 1'
    model = load_model(run / 'run.py', run / 'iter_9.pth', 'cpu').model
    alone = model.generate(torch.from_numpy(mask)[None], [derive_seed(0, 'tissue', 'b', 1)])
    found = images(made.out)['b_0001.png'].astype(int)
    expected = to_uint8(alone)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(found, expected)
    with open(made.manifest, newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['group'] for row in rows] == ['a', 'a', 'b', 'b', 'c', 'c']
    assert {row['label'] for row in rows} == {'healthy'}
    assert {(row['split'], row['source_split']) for row in rows} == {('train', 'test')}


def test_the_grade_of_an_image_goes_to_what_is_made_of_its_mask(run):
    """Where the label is no class of the masks: tables by grade then compare like with like."""
    text = (run / 'manifest.csv').read_text()
    (run / 'grades.csv').write_text(text.replace('healthy', 'benign', 2).replace('healthy', ''))
    options = {
        'train_dataloader.dataset.instances': None,
        'train_dataloader.dataset.mask_map': {0: 0, 7: 1, 9: 2},
    }
    for out, relabel, expected in (
        ('graded', {}, ['benign', 'benign', 'healthy']),  # the third has no grade
        ('exchanged', {'healthy': 'poorly differentiated'}, ['poorly differentiated'] * 3),
    ):
        made = make(
            run, out, masks=run / 'grades.csv', per_mask=1, options=options, relabel=relabel
        )
        with open(made.manifest, newline='') as file:
            assert [row['label'] for row in csv.DictReader(file)] == expected


def test_images_and_masks_load_in_hugging_face_datasets(run, tmp_path):
    made = make(run, 'plain')
    found = load_with_datasets(made.out, tmp_path)
    assert len(found) == 6 and set(found['label']) == {'healthy'}
    own = load_mask(str(made.out / 'masks' / 'b.png'))
    row = next(row for row in found if row['source_mask'] == 'b')
    assert np.array_equal(np.asarray(row['mask']), own)


def test_masks_of_another_split_than_the_trained_one_are_said(run, monkeypatch):
    said = []
    monkeypatch.setattr(mask_batches, 'print_log', lambda text, *_: said.append(text))
    split = 'train_dataloader.dataset.split'
    make(run, 'same', options={split: 'test'})
    assert not any('source_split' in text for text in said)
    make(run, 'foreign', options={split: ['train']})
    assert any("masks of split ['test'], not of ['train']" in text for text in said)


def test_an_image_does_not_depend_on_batches_or_on_other_masks(run):
    first = images(make(run, 'by_one', batch_size=1).out)
    second = images(make(run, 'by_five', batch_size=5, per_mask=3).out)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert len(first) == 6 and len(second) == 9
    a, c = first['a_0000.png'], first['c_0000.png']
    assert not np.array_equal(a, c), 'equal masks of other names are other images'


def test_relabelled_glands_keep_their_outlines_and_noise(run):
    plain = make(run, 'plain')
    changed = make(run, 'changed', relabel={'healthy': 'Poorly Differentiated'})
    for name in 'abc':
        before, after = (load_mask(str(m.out / 'masks' / f'{name}.png')) for m in (plain, changed))
        assert np.array_equal(after, 2 * before)
    assert any(
        not np.array_equal(image, images(plain.out)[name])
        for name, image in images(changed.out).items()
    )
    sheets = (m.out / '__about__' / 'sheet.png' for m in (plain, changed))
    narrow, wide = (load_image(str(sheet)).shape[1] for sheet in sheets)
    assert wide > 1.7 * narrow, 'the sheet shows both'


def test_a_folder_of_instance_masks_needs_the_class_of_its_glands(run):
    with pytest.raises(ValueError, match="the label '' is none of"):
        make(run, 'folder', masks=run / 'masks')
    made = make(run, 'folder', masks=run / 'masks', mask_class='poorly differentiated')
    assert set(np.unique(load_mask(str(made.out / 'masks' / 'a.png')))) == {0, 2}


def test_what_is_refused(run):
    with pytest.raises(SynthesisError, match="'stromma' is none of the classes"):
        make(run, 'refused', relabel={'stromma': 'healthy'})
    with pytest.raises(SynthesisError, match='per_mask=0'):
        make(run, 'refused', per_mask=0)
    make(run, 'kept')
    with pytest.raises(RecordError, match='seed: 0 there, 1 now'):
        make(run, 'kept', seed=1)
    write_png(run / 'small' / 'x.png', np.ones((10, 64), np.uint8))
    with pytest.raises(ValueError, match='64x10 px are 32x5 at the scale of the model.*8 a side'):
        make(run, 'refused', masks=run / 'small', mask_class='healthy')
    without = dict(model=dict(generator=None, discriminator=None))
    config = Config.fromfile(run / 'run.py')
    config.merge_from_dict(without)
    model = tiny_model(3, generator=None, discriminator=None)
    torch.save(dict(state_dict=model.state_dict(), meta={}), run / 'segmenter.pth')
    with pytest.raises(SynthesisError, match='generates no tissue from masks'):
        synthesize_tissue(config, run / 'segmenter.pth', run / 'masks', run / 'no', device='cpu')
