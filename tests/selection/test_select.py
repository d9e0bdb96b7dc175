import csv
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hugging_face import load_with_datasets
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'selection'))
from selection_helpers import (  # noqa: E402
    CLASSES,
    build_network,
    save,
    write_config,
)

from cellgan_plugin.datasets import CellPatchDataset  # noqa: E402
from cellgan_plugin.datasets.content_hash import (  # noqa: E402
    TRAINING_IMAGES,
    content_hashes,
    from_hex,
    to_hex,
)
from cellgan_plugin.datasets.image_io import load_image  # noqa: E402
from cellgan_plugin.datasets.manifest import read_manifest, write_manifest  # noqa: E402
from cellgan_plugin.phantom import write_phantom_dataset  # noqa: E402
from cellgan_plugin.records import RecordError
from cellgan_plugin.runs.provenance import training_images_of
from cellgan_plugin.selection import McDropoutClassifier, PoolError  # noqa: E402
from cellgan_plugin.selection.folder import SelectionError  # noqa: E402
from cellgan_plugin.selection.rules import NoSelection  # noqa: E402
from cellgan_plugin.selection.select import select  # noqa: E402
from cellgan_plugin.selection.stream import ImageStream  # noqa: E402

REAL, POOL = 60, 48  # images of each class
OF_GENERATOR, OF_CLASSIFIER = '0' * 32, '1' * 32  # what trained them
RATIO = 0.2  # a quarter of the pool is kept: 12 = 0.2 x 60 = 48 / 4


@pytest.fixture(scope='module')
def phantoms(tmp_path_factory):
    """Phantoms of three classes: split train is real, split val becomes the pool."""
    root = tmp_path_factory.mktemp('phantoms') / 'data'
    splits = {
        'train': dict.fromkeys(CLASSES, REAL),
        'val': dict.fromkeys(CLASSES, POOL),
    }
    write_phantom_dataset(root, size=32, splits=splits, seed=0)
    return root


@pytest.fixture(scope='module')
def classifier(phantoms, tmp_path_factory):
    """A ResNet-18 with an eighth of the channels, trained with dropout on the real phantoms."""
    folder = tmp_path_factory.mktemp('classifier')
    config = write_config(folder, dropout=0.5)
    network = build_network(config)
    rows = [row for row in read_manifest(phantoms / 'manifest.csv') if row['split'] == 'train']
    images = np.stack([load_image(str(phantoms / row['file'])) for row in rows])
    images = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    images = (images - 127.5) / 60
    labels = torch.tensor([CLASSES.index(row['label']) for row in rows])
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network.train()
    steps = 150
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.randperm(len(labels), generator=generator)[:32]
        x = images[batch]
        for axis in (2, 3):
            x = x.flip(axis) if torch.rand((), generator=generator) < 0.5 else x
        loss = torch.nn.functional.cross_entropy(network(x), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    checkpoint = save(network.eval(), folder / 'trained.pth')
    state = torch.load(checkpoint)
    state['training_images'] = torch.from_numpy(from_hex([OF_CLASSIFIER]))
    torch.save(state, checkpoint)
    return config, checkpoint


@pytest.fixture(scope='module')
def pool(phantoms, tmp_path_factory):
    """Half of the candidates of every class are of another one; their names tell which."""
    root = tmp_path_factory.mktemp('pool') / 'candidates'
    rows = [row for row in read_manifest(phantoms / 'manifest.csv') if row['split'] == 'val']
    lines = []
    for index, row in enumerate(rows):
        label = CLASSES.index(row['label'])
        # Of four images two keep their label and one goes to each of the other classes.
        shift = (0, 1, 0, 2)[index % 4]
        said = CLASSES[(label + shift) % len(CLASSES)]
        file = f'{said}/{"wrong" if shift else "right"}_{index:03d}.png'
        (root / said).mkdir(parents=True, exist_ok=True)
        shutil.copy(phantoms / row['file'], root / file)
        lines.append(dict(file=file, label=said, seed=index))
    write_manifest(root / 'manifest.csv', lines, ('file', 'label', 'seed'))
    (root / TRAINING_IMAGES).write_text(OF_GENERATOR + '\n')
    return root


@pytest.fixture(scope='module')
def selected(phantoms, classifier, pool, tmp_path_factory):
    out = tmp_path_factory.mktemp('selected') / 'out'
    return select(pool, f'{phantoms}:train', *classifier, out, ratio=RATIO, tsne_images=20)


def precision(result):
    table = result['table']
    kept = [file for file, is_kept in zip(table.files, table.kept, strict=True) if is_kept]
    return sum('right' in file for file in kept) / len(kept)


def test_selection_keeps_what_is_labelled_rightly(
    selected, phantoms, classifier, pool, tmp_path, record_property
):
    """Of a pool with every second label wrong, a draw by lot keeps half right."""
    cache = Path(selected['out']) / '_scores'
    found = {'selective': precision(selected)}
    rules = ('single_filtering', 'single_filtering_mc', 'nearest_centroid', 'confidence')
    for rule in (*rules, 'random', 'none'):
        result = select(
            pool, f'{phantoms}:train', *classifier, tmp_path / rule, rule=rule, ratio=RATIO,
            cache_dir=cache, tsne_images=0,
        )  # fmt: skip
        found[rule] = precision(result)
    assert len(list(cache.iterdir())) == 1  # all rules evaluated the same scores
    for rule, value in found.items():
        record_property(f'precision_{rule}', round(value, 3))
    print({rule: round(value, 3) for rule, value in found.items()})
    # 0.97 or 0.78 of 36, by the version of torch; chance has 0.5 and a deviation of 0.08.
    assert found['selective'] > 0.7
    assert 0.3 < found['random'] < 0.7
    assert min(found['confidence'], found['single_filtering']) > found['random'] + 0.15


def test_a_rule_gets_the_features_of_its_class(
    selected, phantoms, classifier, pool, tmp_path, monkeypatch
):
    """Row by row those of the files; computed once, and by no other rule."""
    seen = {}

    class Seeing(NoSelection):
        uses_features = True

        def __call__(self, pool, asked):
            seen[pool.label] = pool.features
            return super().__call__(pool, asked)

    cache = Path(selected['out']) / '_scores'
    arguments = dict(ratio=RATIO, cache_dir=cache, tsne_images=0)
    assert not list(cache.glob('*/features.npz'))
    result = select(
        pool, f'{phantoms}:train', *classifier, tmp_path / 'a', rule=Seeing(), **arguments
    )
    table = result['table']
    network = McDropoutClassifier(*classifier)
    for label in range(len(CLASSES)):
        files = [pool / file for file, own in zip(table.files, table.labels, strict=True)
                 if own == label]  # fmt: skip
        images = torch.from_numpy(np.stack([load_image(str(file)) for file in files]))
        expected = network(images.permute(0, 3, 1, 2))
        torch.testing.assert_close(torch.from_numpy(seen[label]), expected, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr('cellgan_plugin.selection.saved_scores.pooled_features', None)
    select(pool, f'{phantoms}:train', *classifier, tmp_path / 'b', rule=Seeing(), **arguments)


def test_what_is_written(selected, phantoms, pool, tmp_path):
    out = Path(selected['out'])
    rows = read_manifest(out / 'manifest.csv')
    assert len(rows) == 3 * 12 and selected['classes'][0]['kept'] == 12
    before = {row['file']: row for row in read_manifest(pool / 'manifest.csv')}
    for row in rows:
        assert (out / row['file']).read_bytes() == (pool / row['source']).read_bytes()
        assert row['seed'] == before[row['source']]['seed']
    with open(out / 'scores.csv', newline='') as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 3 * POOL and sum(int(row['kept']) for row in scores) == len(rows)
    assert {row['reason'] for row in scores} == {'kept', 'entropy', 'distance'}
    for label in CLASSES:  # each step halves the class
        reasons = [row['reason'] for row in scores if row['label'] == label]
        assert reasons.count('entropy') == POOL // 2 and reasons.count('kept') == POOL // 4
    record = json.loads((out / 'selection.json').read_text())
    assert record['finished'] and record['protocol']['classifier']['dropout'] == 0.5
    # A test image among any of these makes what is trained on the selection look too good.
    files = [r['file'] for r in read_manifest(phantoms / 'manifest.csv') if r['split'] == 'train']
    real = to_hex(content_hashes([phantoms / file for file in files]))
    assert training_images_of(out) == {OF_GENERATOR, OF_CLASSIFIER, *real}
    for picture in ('__about__/best_worst.png', '__about__/tsne.png'):
        assert load_image(str(out / picture)).std() > 5
    dataset = CellPatchDataset(data_root=str(out), metainfo=dict(classes=CLASSES), pipeline=[])
    assert len(dataset) == len(rows)  # the folder is a data set, scores and pictures are not
    found = load_with_datasets(out, tmp_path)
    assert sorted((row['label'], row['seed']) for row in found) == sorted(
        (row['label'], int(row['seed'])) for row in rows
    )
    card = (out / 'README.md').read_text()
    assert all(f'| {name} | 12 |' in card for name in CLASSES) and 'fingerprint' in card


def test_another_selection_is_refused_or_overwrites_and_reads_saved_scores(
    phantoms, classifier, pool, tmp_path, monkeypatch
):
    real = f'{phantoms}:train'
    first = select(
        pool, real, *classifier, tmp_path / 'out', ratio=RATIO, tsne_images=0, link='hard'
    )
    kept = [row['file'] for row in read_manifest(first['manifest'])]
    assert os.stat(tmp_path / 'out' / kept[0]).st_nlink == 2
    read = []
    original = ImageStream.read
    monkeypatch.setattr(
        ImageStream, 'read', lambda self, file: read.append(file) or original(self, file)
    )
    other = dict(rule='random', ratio=0.1, tsne_images=0, link='symbolic', batch_size=7)
    with pytest.raises(RecordError, match=f'ratio: {RATIO} there, 0.1 now'):
        select(pool, real, *classifier, tmp_path / 'out', **other)
    assert sorted(row['file'] for row in read_manifest(first['manifest'])) == sorted(kept)
    again = select(pool, real, *classifier, tmp_path / 'out', overwrite=True, **other)
    assert len(read) < 30  # the picture's
    there = {str(p.relative_to(tmp_path / 'out')) for p in (tmp_path / 'out').glob('*/*.png')}
    there.remove('__about__/best_worst.png')
    assert there == {row['file'] for row in read_manifest(again['manifest'])}
    assert len(there) == 3 * 6 and all((tmp_path / 'out' / name).is_symlink() for name in there)


def test_copies_of_training_images_are_dropped_first(phantoms, classifier, pool, tmp_path):
    root = tmp_path / 'pool'
    shutil.copytree(pool, root)
    (root / 'manifest.csv').unlink()
    copies = [
        row['file'] for row in read_manifest(phantoms / 'manifest.csv') if row['split'] == 'train'
    ][:6]
    for index, file in enumerate(copies):
        image = load_image(str(phantoms / file))
        for view, shown in (
            ('', image),
            ('_flipped', image[:, ::-1]),
            ('_turned', np.rot90(image)),
        ):
            path = root / file.split('/')[0] / f'copy_{index}_{view}.png'
            Image.fromarray(np.ascontiguousarray(shown)).save(path)
    result = select(
        root, f'{phantoms}:train', *classifier, tmp_path / 'out', drop_memorised=True, ratio=RATIO,
        tsne_images=0,
    )  # fmt: skip
    table = result['table']
    reasons = {
        file: r for file, r in zip(table.files, table.reasons, strict=True) if 'copy' in file
    }
    assert len(reasons) == 18 and set(reasons.values()) == {'memorised'}
    others = [m for m, file in zip(table.memorised, table.files, strict=True) if 'copy' not in file]
    assert np.mean(others) < 0.1


def test_mistakes_are_said_before_any_work(phantoms, classifier, pool, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise AssertionError('the network was built')

    monkeypatch.setattr('cellgan_plugin.selection.select.McDropoutClassifier', fails)
    real = f'{phantoms}:train'
    out = tmp_path / 'out'

    def said(error, match, candidates=pool, real=real, ratio=RATIO, **kwargs):
        with pytest.raises(error, match=match):
            select(candidates, real, *classifier, kwargs.pop('out', out), ratio=ratio, **kwargs)
        assert not out.exists()

    other = tmp_path / 'other'
    shutil.copytree(pool, other)
    shutil.move(other / 'LSIL', other / 'CIN1')
    (other / 'manifest.csv').unlink()
    said(SelectionError, r"(?s)classes that the classifier does not know.*'CIN1'", other)
    said(PoolError, r'class NILM \(ratio 0.5 of 60 real images\): 48 candidates, but 30', ratio=0.5)
    said(SelectionError, 'has the splits .*say which one', real=phantoms)
    said(SelectionError, 'names a split, and', real=f'{other}:train')
    lone = tmp_path / 'lone'
    for name in ('NILM', 'HSIL'):
        shutil.copytree(other / name, lone / name)
    rest = tmp_path / 'rest'
    shutil.copytree(phantoms / 'NILM', rest / 'NILM')
    said(SelectionError, 'class HSIL has .* candidates and no real image in', lone, rest)
    said(FileNotFoundError, 'is no folder', tmp_path / 'nowhere')
    said(ValueError, 'no selection rule', rule='good')
    said(SelectionError, 'ratio -1', ratio=-1)
    said(SelectionError, 'passes 0', passes=0)
    said(SelectionError, 'stages count from 1', layers=[0])
    said(SelectionError, 'lies in the candidates', out=pool / 'out')
    full = tmp_path / 'full'
    full.mkdir()
    (full / 'notes.txt').write_text('mine')
    said(RecordError, 'holds other files', out=full)


def test_classes_without_candidates_are_left_alone(phantoms, classifier, pool, tmp_path):
    root = tmp_path / 'pool'
    shutil.copytree(pool / 'HSIL', root / 'HSIL')
    result = select(
        root,
        f'{phantoms}:train',
        *classifier,
        tmp_path / 'out',
        ratio=RATIO,
        passes=2,
        tsne_images=0,
    )
    assert [row['label'] for row in result['classes']] == ['HSIL']


def test_damaged_weights_are_said(phantoms, classifier, pool, tmp_path):
    config, checkpoint = classifier
    state = torch.load(checkpoint)
    state['state_dict']['head.fc.weight'][:] = torch.nan
    torch.save(state, tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match=r'entropy is NaN.*damaged or overflow'):
        select(
            pool,
            f'{phantoms}:train',
            config,
            tmp_path / 'bad.pth',
            tmp_path / 'out',
            ratio=RATIO,
            passes=1,
        )
    assert not (tmp_path / 'out' / 'manifest.csv').exists()
