"""What was computed for one input is never returned for another: every output, every cache."""
# ruff: noqa: E402

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

for _room in ('evaluation', 'selection'):
    sys.path.insert(0, str(Path(__file__).parent / _room))
import benchmark_helpers
import selection_helpers
import tiny_generators
import tiny_pyramid
from evaluation_helpers import TinyFeatures
from tiny_segmenters import DarkIsGland, training_config, write_pairs

from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.protocol import Generator, read_protocol
from cellgan_plugin.benchmark.synthetic import HashCache
from cellgan_plugin.comparison.checks import TrainingSets
from cellgan_plugin.datasets.content_hash import content_hashes
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.evaluation.statistics_cache import real_features
from cellgan_plugin.records import FolderRecord, RecordError, differences, merged
from cellgan_plugin.runs.evaluate_folders import evaluate_folders, folder_dataset
from cellgan_plugin.segmentation.benchmark import SegmentationBenchmark
from cellgan_plugin.segmentation.evaluate_masks import evaluate_masks
from cellgan_plugin.segmentation.protocol import read_segmentation_protocol
from cellgan_plugin.segmentation.segment import segment
from cellgan_plugin.selection.select import select
from cellgan_plugin.synthesis.interpolate import interpolate
from cellgan_plugin.synthesis.synthesize import synthesize
from cellgan_plugin.synthesis.tissue import synthesize_tissue

pytestmark = pytest.mark.usefixtures('mmagic_scope')
CLASSES = selection_helpers.CLASSES


def png(path, pixels):
    """Without compression: the size of the file is that of the pixels, whatever they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=0)


def disguised(path, write):
    """Write a file again as ``cp -p``, ``unzip`` or ``rsync -t`` do: same name, size and time."""
    before, content = os.stat(path), path.read_bytes()
    write(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert path.read_bytes() != content


def turned(path):
    """Another image under the same name."""
    pixels = np.array(Image.open(path))
    disguised(path, lambda path: png(path, pixels[::-1].copy()))


def class_folders(root, count=6, size=32, seed=0):
    rng = np.random.default_rng(seed)
    for label, name in enumerate(CLASSES):
        for index in range(count):
            pixels = rng.integers(40 * label, 40 * label + 120, (size, size, 3)).astype(np.uint8)
            png(root / name / f'{name}{seed}_{index}.png', pixels)
    return root


def first_image(root):
    return sorted(root.rglob('*.png'))[0]


def pairs_without_compression(root, count=4):
    write_pairs(root, count)
    for path in root.rglob('*.png'):
        png(path, np.array(Image.open(path)))
    return root


def other_weights(path):
    """Other weights of the same shapes in a checkpoint."""
    state = torch.load(path)
    for value in state['state_dict'].values():
        if value.is_floating_point():
            value.mul_(1.5)
    disguised(path, lambda path: torch.save(state, path))


# One case per output: how it is made, and how one of its inputs becomes another -----------------


def segmenter(root):
    dataset = dict(
        type='TissueMaskDataset', metainfo=dict(classes=['stroma', 'gland']), instances='binary'
    )
    config = Config(dict(model=dict(type='DarkIsGland'), default_scope='mmagic',
                         train_dataloader=dict(dataset=dataset)))  # fmt: skip
    config.dump(root / 'run.py')
    torch.save(dict(state_dict=DarkIsGland().state_dict(), meta={}), root / 'iter_1.pth')
    return root / 'run.py', root / 'iter_1.pth'


def of_segment(root, rule=None):
    data, run = pairs_without_compression(root / 'data'), segmenter(root)
    return SimpleNamespace(
        run=lambda out, **more: segment(*run, data, out, split='test', **more),
        change=lambda: turned(data / 'images' / 'testB_0.png'),
        damaged='classes/testB_0.png',
    )


def of_masks_evaluated(root):
    data = pairs_without_compression(root / 'data')
    shutil.copytree(data / 'masks', root / 'predicted')
    known = dict(true_instances='binary', pred_instances=True)
    return SimpleNamespace(
        run=lambda out, **more: evaluate_masks(
            root / 'predicted', data / 'masks', out=out, **known, **more
        ),
        change=lambda: turned(root / 'predicted' / 'testB_0.png'),
    )


def of_tissue(root):
    parts = dict(
        generator=tiny_pyramid.GENERATOR, discriminator=tiny_pyramid.DISCRIMINATOR,
        segmenter=tiny_pyramid.SEGMENTER,
    )  # fmt: skip
    dataset = dict(metainfo=dict(classes=['stroma', 'gland', 'lumen']), tile=32, pipeline=[])
    Config(
        dict(
            default_scope='mmagic',
            model=dict(type='PyramidGAN', num_classes=3, scales=list(tiny_pyramid.SCALES), **parts),
            train_dataloader=dict(dataset=dataset),
        )
    ).dump(root / 'run.py')
    model = tiny_pyramid.tiny_model(3)
    model.begin_scale(2)
    for network in model.generators:
        torch.nn.init.normal_(network.last.weight, std=0.1)
    torch.save(dict(state_dict=model.state_dict(), meta={}), root / 'iter_9.pth')
    for name in 'ab':
        mask = np.zeros((32, 32), np.uint8)
        mask[4:20, 4:20], mask[8:12, 8:12] = 1, 2
        png(root / 'masks' / f'{name}.png', mask)
    return SimpleNamespace(
        run=lambda out, **more: synthesize_tissue(
            root / 'run.py', root / 'iter_9.pth', root / 'masks', out, device='cpu', **more
        ),
        change=lambda: turned(root / 'masks' / 'a.png'),
        damaged='images/a_0000.png',
    )


def of_synthesis(root):
    run = tiny_generators.write_run(root / 'run')
    return SimpleNamespace(
        run=lambda out, **more: synthesize(*run, out, per_class=2, **more),
        change=lambda: other_weights(run[1]),
        damaged='NILM/NILM_000001.png',
    )


def of_interpolation(root):
    run = tiny_generators.write_run(root / 'run')
    options = dict(steps=2, strip_steps=2, formats=['png'])
    return SimpleNamespace(
        run=lambda out, **more: interpolate(*run, out, ['NILM'], [0, 1], **options, **more),
        change=lambda: other_weights(run[1]),
    )


def of_selection(root):
    run = selection_helpers.random_classifier(root)
    pool = class_folders(root / 'pool', 8, seed=1)
    real = class_folders(root / 'real', 4)
    options = dict(passes=2, ratio=0.5, tsne_images=0, device='cpu')
    return SimpleNamespace(
        run=lambda out, **more: select(pool, real, *run, out, **options, **more),
        change=lambda: turned(first_image(pool)),
        damaged='_scores/*/part_00000000.npz',
    )


def of_folders_evaluated(root):
    real, fake = class_folders(root / 'real'), class_folders(root / 'fake', seed=1)
    options = dict(distances=('fd',), cache_dir=root / 'cache', device='cpu')
    return SimpleNamespace(
        run=lambda out, **more: evaluate_folders(
            real, fake, TinyFeatures(), CLASSES, work_dir=out, **options, **more
        ),
        change=lambda: turned(first_image(real)),
    )


def of_benchmark(root):
    real = class_folders(root / 'real', 8)
    made = class_folders(root / 'synthetic', 6, seed=1)
    benchmark_helpers.write_classifier(root)
    (root / 'benchmark.py').write_text(
        f'title = "Tiny"\ndata = dict(data_root={str(real)!r})\nclasses = {list(CLASSES)}\n'
        'classifiers = dict(Tiny="tiny.py")\n'
        'num_folds = 2\nper_class = 8\nsynthetic_per_class = 6\nepochs = 3\n'
    )
    protocol = read_protocol(
        root / 'benchmark.py', [Generator('CellGAN', folder=str(made), trained_on='itself')]
    )
    return SimpleNamespace(
        run=lambda out: Benchmark(protocol, out).jobs(), change=lambda: turned(first_image(made))
    )


def of_segmentation_benchmark(root):
    data = pairs_without_compression(root / 'data', 9)
    training_config().dump(root / 'single.py')
    values = dict(
        data=dict(data_root=str(data), classes=['stroma', 'gland'], instances='binary',
                  test='test', shared_groups='warn'),
        methods={'single': dict(config=str(root / 'single.py'))}, ratios=[1.0],
    )  # fmt: skip
    protocol = read_segmentation_protocol(Config(values))
    return SimpleNamespace(
        run=lambda out: SegmentationBenchmark(protocol, out).jobs(),
        change=lambda: turned(data / 'masks' / 'testB_0.png'),
    )


OUTPUTS = dict(
    segment=of_segment, evaluate_masks=of_masks_evaluated, tissue=of_tissue,
    synthesize=of_synthesis, interpolate=of_interpolation, select=of_selection,
    evaluate_folders=of_folders_evaluated,
)  # fmt: skip
EXPERIMENTS = dict(benchmark=of_benchmark, segmentation_benchmark=of_segmentation_benchmark)


def files(out):
    """Pictures and tables of a folder; records name times and versions."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob('*'))
        if path.suffix in ('.png', '.csv')
    }


@pytest.mark.parametrize('kind', OUTPUTS)
def test_another_input_under_the_same_name_is_refused_or_made_anew(kind, tmp_path):
    case = OUTPUTS[kind](tmp_path)
    case.run(tmp_path / 'out')
    first = files(tmp_path / 'out')
    assert first
    case.run(tmp_path / 'out')  # the same: continued
    assert files(tmp_path / 'out') == first
    case.change()
    with pytest.raises(RecordError, match=r'(?s)something else .*content.*--overwrite'):
        case.run(tmp_path / 'out')
    assert files(tmp_path / 'out') == first
    case.run(tmp_path / 'out', overwrite=True)
    case.run(tmp_path / 'new' / 'out')
    assert files(tmp_path / 'out') == files(tmp_path / 'new' / 'out') != first


@pytest.mark.parametrize('kind', EXPERIMENTS)
def test_an_experiment_on_other_images_is_refused(kind, tmp_path):
    case = EXPERIMENTS[kind](tmp_path)
    for _ in range(2):
        case.run(tmp_path / 'out')
    case.change()
    with pytest.raises(RecordError, match=r'(?s)something else .*content.*or delete it'):
        case.run(tmp_path / 'out')
    case.run(tmp_path / 'new')


@pytest.mark.parametrize('kind', ['segment', 'tissue', 'synthesize', 'select'])
def test_damaged_files_are_made_again(kind, tmp_path, capsys):
    case = OUTPUTS[kind](tmp_path)
    case.run(tmp_path / 'out')
    first = files(tmp_path / 'out')
    (path,) = (tmp_path / 'out').glob(case.damaged)
    path.write_bytes(path.read_bytes()[:-40])
    case.run(tmp_path / 'out')
    assert files(tmp_path / 'out') == first


def test_true_masks_that_came_later_are_drawn_and_scored(tmp_path):
    data, run = pairs_without_compression(tmp_path / 'data'), segmenter(tmp_path)
    images = data / 'images'
    assert segment(*run, images, tmp_path / 'out').made == 4
    assert segment(*run, images, tmp_path / 'out', masks=data / 'masks').made == 4
    assert (tmp_path / 'out' / 'table.md').is_file()
    turned(data / 'masks' / 'testB_0.png')
    assert segment(*run, images, tmp_path / 'out', masks=data / 'masks').made == 1


# Caches -----------------------------------------------------------------------------------------


def features_of(images, cache):
    dataset = folder_dataset(images, CLASSES)
    return real_features(dataset, TinyFeatures(), cache, batch_size=4).features


def hashes_of(images, cache):
    return HashCache(cache).hashes([str(p) for p in sorted(images.rglob('*.png'))], '')


def training_digest_of(images, cache):
    dataset = dict(type='CellPatchDataset', data_root=str(images), pipeline=[],
                   metainfo=dict(classes=list(CLASSES)))  # fmt: skip
    return TrainingSets().images(Config(dict(train_dataloader=dict(dataset=dataset))))


@pytest.mark.parametrize('value', [features_of, hashes_of, training_digest_of])
def test_no_cache_takes_another_file_for_the_same(value, tmp_path):
    images, cache = class_folders(tmp_path / 'images'), tmp_path / 'cache'
    first = value(images, cache)
    assert np.array_equal(value(images, cache), first)
    turned(first_image(images))
    again = value(images, cache)
    assert not np.array_equal(again, first)
    assert np.array_equal(again, value(images, tmp_path / 'new'))
    moved = shutil.move(images, tmp_path / 'elsewhere')
    assert np.array_equal(value(Path(moved), cache), again)


@pytest.mark.parametrize('damage', ['cut', 'other', 'changed', 'former'])
def test_a_damaged_list_of_hashes_is_made_again(damage, tmp_path, caplog):
    images = class_folders(tmp_path / 'images', 2)
    expected = content_hashes(sorted(images.rglob('*.png')))
    assert np.array_equal(hashes_of(images, tmp_path), expected)
    path = tmp_path / 'hashes.json'
    kept = json.loads(path.read_text())
    names = list(kept['images'])
    kept['images'][names[0]], kept['images'][names[1]] = (kept['images'][n] for n in names[1::-1])
    path.write_text({
        'cut': path.read_text()[:-30], 'other': '[1]', 'changed': json.dumps(kept),
        'former': '{"/a.png": [1, 2, "00"]}',
    }[damage])  # fmt: skip
    assert np.array_equal(hashes_of(images, tmp_path), expected)
    assert np.array_equal(hashes_of(images, tmp_path), expected)


# The record itself ------------------------------------------------------------------------------


def test_differences_by_hand():
    there = dict(a=dict(b=1, c=[1, 2]), images=dict(x='0' * 64, y='1' * 64), d='x')
    now = dict(a=dict(b=2, c=[1, 2]), images=dict(x='0' * 64, y='2' * 64, z='3' * 64))
    assert differences(there, now, ['images']) == [
        'a.b: 1 there, 2 now',
        'images.y: other content (11111111... there, 22222222... now)',
        'd: only there',
    ]
    assert 'images.z: only now' in differences(there, now)
    assert differences(there, there) == []
    assert merged(there, now)['images'] == {'x': '0' * 64, 'y': '2' * 64, 'z': '3' * 64}


def test_only_ones_own_folder_is_overwritten(tmp_path):
    record = FolderRecord(tmp_path / 'out', 'a.json', keep=['cache'])
    assert record.check(dict(seed=0)) is None
    record.write(dict(seed=0, time='now'))
    for name in ('cache/x', 'images/y', '.z'):
        (tmp_path / 'out' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 'out' / name).write_text('')
    assert record.check(dict(seed=0))['time'] == 'now'
    assert record.check(dict(seed=1), overwrite=True) is None
    assert (tmp_path / 'out' / 'images').exists()  # until there is something new
    record.write(dict(seed=1))
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'a.json', 'cache'}

    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.doc').write_text('x')
    stranger = FolderRecord(tmp_path / 'mine', 'a.json')
    with pytest.raises(RecordError, match=r'other files \(thesis.doc, ...\) and no a.json'):
        stranger.check(dict(seed=0), overwrite=True)
    assert FolderRecord(tmp_path / 'mine', 'a.json', shared=True).check(dict(seed=0)) is None
    (tmp_path / 'out' / 'a.json').write_text('{"seed"')
    with pytest.raises(RecordError, match='is damaged'):
        record.check(dict(seed=1))
    assert record.check(dict(seed=1), overwrite=True) is None


def test_a_killed_first_write_is_nobodys_file(tmp_path):
    for name in ('.selection.json.0123456789ab.tmp', '_truth/.parameters.json.0123456789ab.tmp'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{')
    assert FolderRecord(tmp_path, 'selection.json').check(dict(seed=0)) is None


def test_uncompressed_pictures_are_read(tmp_path):
    """What the cases above stand on."""
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    png(tmp_path / 'a.png', pixels)
    assert np.array_equal(load_image(str(tmp_path / 'a.png')), pixels)
