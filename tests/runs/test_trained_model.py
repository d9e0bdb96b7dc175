import pytest
import torch
from mmengine.config import Config

from cellgan_plugin.models import sample_pixels
from cellgan_plugin.runs.trained_model import find_checkpoint, load_model, settle_classes

CLASSES = ['NILM', 'LSIL', 'HSIL']


def config(classes=CLASSES, num_classes=3):
    return Config(
        dict(
            default_scope='mmagic',
            model=dict(
                type='CellGAN',
                generator=dict(type='CellGANGenerator', out_size=32, base_channels=1),
                noise_size=128,
                num_classes=num_classes,
            ),
            train_dataloader=dict(dataset=dict(metainfo=dict(classes=classes))),
        )
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    from mmagic.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmagic')
    model = MODELS.build(config().model)
    path = tmp_path_factory.mktemp('run') / 'iter_5.pth'
    meta = dict(dataset_meta=dict(classes=CLASSES), iter=5)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path, model


def test_the_model_comes_back_with_its_classes(checkpoint):
    path, model = checkpoint
    loaded = load_model(config(), path.parent, device='cpu')  # by its work directory
    assert loaded.classes == tuple(CLASSES)
    assert loaded.iteration == 5 and loaded.checkpoint == path
    assert not loaded.model.training
    noise, labels = torch.randn(2, 128), torch.tensor([0, 2])
    assert torch.equal(
        sample_pixels(loaded.model, noise, labels), sample_pixels(model, noise, labels)
    )


def test_the_checkpoint_alone_may_name_the_classes(checkpoint):
    bare = config()
    bare.train_dataloader = None
    assert load_model(bare, checkpoint[0], device='cpu').classes == tuple(CLASSES)


@pytest.mark.parametrize('classes', [CLASSES[::-1], ['NILM', 'LSIL', 'SCC']])
def test_another_class_list_is_refused_with_both_lists(checkpoint, classes):
    with pytest.raises(ValueError, match='trained with') as error:
        load_model(config(classes), checkpoint[0])
    assert str(classes) in str(error.value) and str(CLASSES) in str(error.value)


def test_another_number_of_classes_is_refused(checkpoint):
    with pytest.raises(ValueError, match='the model has 4 classes'):
        load_model(config(num_classes=4), checkpoint[0])


def test_the_best_checkpoint_of_a_work_directory_is_preferred(checkpoint, tmp_path):
    for name in ('iter_1.pth', 'best_mean_iter_2.pth', 'iter_9.pth'):
        (tmp_path / name).write_bytes(checkpoint[0].read_bytes())
    assert find_checkpoint(tmp_path).name == 'best_mean_iter_2.pth'


def test_missing_checkpoints_are_said(tmp_path):
    with pytest.raises(FileNotFoundError, match='has no checkpoint: train first'):
        find_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_checkpoint(tmp_path / 'no.pth')


@pytest.mark.parametrize('name', ['../out', 'manifest.csv', '=cmd|calc', 'a\u202eb'])
def test_a_checkpoint_cannot_name_a_class_as_it_likes(name):
    with pytest.raises(ValueError, match='class name'):
        settle_classes(Config(dict()), ['NILM', name], 2)
