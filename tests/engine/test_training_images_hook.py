from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmagic.registry import HOOKS
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from PIL import Image
from torch import nn
from torch.utils.data import Subset

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets import BETHESDA_CLASSES, CellPatchDataset
from cellgan_plugin.datasets.content_hash import (
    TRAINING_IMAGES,
    content_hashes,
    group_hashes,
    merge_hashes,
    read_training_images,
    split_groups,
    to_hex,
)
from cellgan_plugin.engine.hooks import TrainingImagesHook, training_images_hook
from cellgan_plugin.engine.hooks.training_images_hook import files_and_groups
from cellgan_plugin.phantom import write_phantom_dataset


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('phantom')
    write_phantom_dataset(root, size=32, counts=3, seed=0)
    return root


def image_files(dataset):
    found = files_and_groups(dataset)
    return None if found is None else list(found)


def dataset_of(data, **kwargs):
    kwargs.setdefault('check', 'none')
    return CellPatchDataset(data_root=str(data), pipeline=[], **kwargs)


def all_hashes(data):
    return merge_hashes(content_hashes(sorted(data.glob('*/*.png'))))


def runner_for(dataset, work_dir, model=None):
    messages = []
    logger = SimpleNamespace(info=messages.append, warning=messages.append)
    work_dir.mkdir(exist_ok=True)
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset),
        model=model or nn.Identity(),
        work_dir=str(work_dir),
        logger=logger,
        messages=messages,
    )


def train(runner, loaded=None):
    """What the Runner calls, and the checkpoint that comes of it."""
    hook = TrainingImagesHook()
    if loaded is not None:
        hook.after_load_checkpoint(runner, loaded)
    hook.before_train(runner)
    checkpoint = dict(state_dict={})
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint


def test_the_hook_is_in_every_run_and_in_the_registry():
    from mmengine.config import Config

    root = Path(__file__).resolve().parents[2]
    assert HOOKS.get('TrainingImagesHook') is TrainingImagesHook
    for name in ('cellgan_tct.py', 'cellgan_phantom.py'):
        config = Config.fromfile(root / 'configs' / name)
        assert config.default_hooks.training_images == dict(type='TrainingImagesHook')


def test_what_a_cache_has_decoded_is_not_decoded_again(data, tmp_path, monkeypatch):
    cached = dataset_of(data, cache='ram')
    grey = dataset_of(data, cache='ram', channels=1)
    part = cached.get_subset([0, 7])
    assert grey.known_hashes() is None and dataset_of(data).known_hashes() is None
    files = [info['img_path'] for info in map(part.get_data_info, range(2))]
    np.testing.assert_array_equal(part.known_hashes(), content_hashes(files))
    assert torch.equal(
        train(runner_for(grey, tmp_path / 'grey'))['training_images'],
        torch.from_numpy(all_hashes(data)),
    )
    monkeypatch.setattr(training_images_hook, 'content_hashes', None)
    found = train(runner_for(cached, tmp_path / 'cached'))['training_images']
    assert torch.equal(found, torch.from_numpy(all_hashes(data)))


def test_a_checkpoint_and_the_work_directory_name_all_training_images(data, tmp_path):
    runner = runner_for(dataset_of(data), tmp_path / 'run')
    checkpoint = train(runner)
    expected = all_hashes(data)
    assert len(expected) == 3 * len(BETHESDA_CLASSES)
    assert checkpoint['training_images'].dtype == torch.uint8
    assert np.array_equal(checkpoint['training_images'].numpy(), expected)
    assert np.array_equal(read_training_images(tmp_path / 'run'), expected)
    assert f'{len(expected)} different images train this model' in runner.messages[0]

    torch.save(checkpoint, tmp_path / 'c.pth')
    again = load_tensors(tmp_path / 'c.pth')  # no code in it
    assert torch.equal(again['training_images'], checkpoint['training_images'])


def test_only_the_split_that_trains_counts(data, tmp_path):
    rows = ['file,label,split']
    files = sorted(data.glob('*/*.png'))
    for number, file in enumerate(files):
        split = 'test' if number % 3 == 2 else 'train'
        rows.append(f'{file.relative_to(data).as_posix()},{file.parent.name},{split}')
    (tmp_path / 'list.csv').write_text('\n'.join(rows) + '\n')
    dataset = dataset_of(data, ann_file=str(tmp_path / 'list.csv'), split='train')
    found = train(runner_for(dataset, tmp_path / 'run'))['training_images']
    expected = content_hashes([f for n, f in enumerate(files) if n % 3 != 2])
    assert set(to_hex(found)) == set(to_hex(expected))


def test_the_groups_of_a_manifest_travel_too(data, tmp_path):
    files = sorted(data.glob('*/*.png'))
    rows = [
        f'{file.relative_to(data).as_posix()},{file.parent.name},slide {number % 2}'
        for number, file in enumerate(files)
    ]
    (tmp_path / 'list.csv').write_text('\n'.join(['file,label,group', *rows]) + '\n')
    dataset = dataset_of(data, ann_file=str(tmp_path / 'list.csv'))
    runner = runner_for(RepeatDataset(dataset, 3), tmp_path / 'run')
    images, groups = split_groups(train(runner)['training_images'])
    assert np.array_equal(images, all_hashes(data))
    assert np.array_equal(groups, group_hashes(['slide 0', 'slide 1']))
    assert np.array_equal(split_groups(read_training_images(tmp_path / 'run'))[1], groups)
    assert f'{len(images)} different images of 2 groups train this model' in runner.messages[0]


def test_wrapped_data_sets_name_each_image_once(data):
    dataset = dataset_of(data)
    files = image_files(dataset)
    assert files == [str(p) for p in sorted(data.glob('*/*.png'), key=files_order(files))]
    few = dataset_of(data, indices=4)
    for wrapped in (
        RepeatDataset(dataset, 1000),
        ClassBalancedDataset(dataset, 0.9),
        ConcatDataset([few, dataset]),
        torch.utils.data.ConcatDataset([few, RepeatDataset(dataset, 2)]),
    ):
        assert set(image_files(wrapped)) == set(files)
        assert len(image_files(wrapped)) == len(files)
    assert image_files(few) == files[:4]
    assert image_files(Subset(dataset, [2, 0])) == [files[2], files[0]]
    assert image_files(torch.utils.data.TensorDataset(torch.zeros(3))) is None
    assert image_files(ConcatDataset([dataset, Nameless()])) is None


def files_order(files):
    position = {file: number for number, file in enumerate(files)}
    return lambda path: position[str(path)]


class Nameless(BaseDataset):
    """Samples that are not files."""

    METAINFO = dict(classes=BETHESDA_CLASSES)

    def load_data_list(self):
        return [dict(gt_label=0)] * 2


def test_a_resumed_run_adds_to_what_its_checkpoint_had(data, tmp_path):
    first = train(runner_for(dataset_of(data, indices=5), tmp_path / 'run'))
    second = train(runner_for(dataset_of(data, indices=[7, 8]), tmp_path / 'run'), loaded=first)
    expected = content_hashes([image_files(dataset_of(data))[i] for i in (0, 1, 2, 3, 4, 7, 8)])
    assert np.array_equal(second['training_images'].numpy(), merge_hashes(expected))
    assert np.array_equal(read_training_images(tmp_path / 'run'), merge_hashes(expected))


def test_unchanged_files_are_not_decoded_again(data, tmp_path, monkeypatch):
    files = []
    for number, source in enumerate(sorted(data.glob('*/*.png'))):
        files.append(tmp_path / source.parent.name / f'{number}.png')
        files[-1].parent.mkdir(exist_ok=True)
        files[-1].write_bytes(source.read_bytes())
    run = tmp_path / 'run'
    first = train(runner_for(dataset_of(tmp_path, extra_classes='skip'), run))
    decoded = []
    real = training_images_hook.content_hashes

    def counted(paths, **kwargs):
        decoded.extend(paths)
        return real(paths, **kwargs)

    monkeypatch.setattr(training_images_hook, 'content_hashes', counted)
    dataset = dataset_of(tmp_path, extra_classes='skip')
    second = train(runner_for(dataset, run), loaded=first)
    assert not decoded
    assert torch.equal(first['training_images'], second['training_images'])
    assert first.keys() == second.keys()

    # An image that was replaced counts, and so does the one that was there before.
    Image.fromarray(np.full((32, 32, 3), 7, np.uint8)).save(files[0])
    third = train(runner_for(dataset, run), loaded=second)
    assert len(decoded) == len(files)
    assert len(third['training_images']) == len(first['training_images']) + 1


def test_weights_of_unknown_origin_leave_the_run_unknown(data, tmp_path):
    run = tmp_path / 'run'
    train(runner_for(dataset_of(data), run))
    assert (run / TRAINING_IMAGES).is_file()
    runner = runner_for(dataset_of(data), run)
    checkpoint = train(runner, loaded=dict(state_dict={}))
    assert 'training_images' not in checkpoint
    assert not (run / TRAINING_IMAGES).exists()  # the list of an earlier run would be believed
    assert 'the loaded checkpoint does not say' in runner.messages[0]
    assert 'cannot rule out' in runner.messages[0]


def test_a_model_on_top_of_another_one_inherits_its_images(data, tmp_path):
    own = all_hashes(data)
    model = nn.Identity()
    model.inherited_training_images = torch.arange(32, dtype=torch.uint8).reshape(2, 16)
    checkpoint = train(runner_for(dataset_of(data), tmp_path / 'run', model))
    expected = merge_hashes(own, model.inherited_training_images)
    assert len(expected) == len(own) + 2
    assert np.array_equal(checkpoint['training_images'].numpy(), expected)

    model.inherited_training_images = None
    runner = runner_for(dataset_of(data), tmp_path / 'run', model)
    assert 'training_images' not in train(runner)
    assert 'a part of the model does not say' in runner.messages[0]


def test_what_cannot_be_listed_or_read_is_said(data, tmp_path):
    runner = runner_for(torch.utils.data.TensorDataset(torch.zeros(3)), tmp_path / 'run')
    assert 'training_images' not in train(runner)
    assert 'TensorDataset does not name the files' in runner.messages[0]

    broken = tmp_path / 'NILM' / 'broken.png'
    broken.parent.mkdir()
    broken.write_bytes(next(data.glob('*/*.png')).read_bytes()[:200])
    dataset = dataset_of(tmp_path, metainfo=dict(classes=['NILM', 'HSIL']), test_mode=True)
    runner = runner_for(dataset, tmp_path / 'run')
    assert 'training_images' not in train(runner)
    assert 'cannot be read' in runner.messages[0] and 'broken.png' in runner.messages[0]


def test_other_ranks_neither_hash_nor_write(data, tmp_path, monkeypatch):
    monkeypatch.setattr(training_images_hook, 'is_main_process', lambda: False)
    runner = runner_for(dataset_of(data), tmp_path / 'run')
    train(runner)
    assert not runner.messages and not list((tmp_path / 'run').iterdir())


def test_random_state_is_left_alone(data, tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()
    train(runner_for(dataset_of(data), tmp_path / 'run'))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before[1])
    assert np.random.get_state()[2] == numpy_before[2]
