"""A benchmark's run made out of a classifier's config."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from cellgan_plugin.benchmark.classifier_run import (
    classifier_identity,
    classifier_run,
    number_of_iterations,
    read_classifier,
    starting_weights,
    write_run,
)
from cellgan_plugin.benchmark.schedule import stretched_schedule

BASE = dict(
    model=dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=18),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=512, topk=(1, 5)),
    ),
    data_preprocessor=dict(num_classes=1000, mean=[1.0] * 3, std=[2.0] * 3, to_rgb=True),
    train_dataloader=dict(
        batch_size=8,
        num_workers=2,
        drop_last=True,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type='ImageNet',
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomCrop', crop_size=8),
                dict(type='RandomCellFlip'),
                dict(type='PackInputs'),
            ],
        ),
    ),
    val_dataloader=dict(
        batch_size=8,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='ImageNet', pipeline=[dict(type='PackInputs')]),
    ),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
    param_scheduler=dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60], gamma=0.1),
    train_cfg=dict(by_epoch=True, max_epochs=100),
)
CLASSES = ('NILM', 'HSIL')
PART = dict(data_root='/data', ann_file='/lists/train.csv')


def config(**changes):
    return Config({**Config(BASE).to_dict(), **changes})


def run_of(own=None, **kwargs):
    settings = dict(
        classes=CLASSES, train=[PART], val=None, test=dict(PART, ann_file='/lists/test.csv'),
        iterations=200, seed=3,
    )  # fmt: skip
    return classifier_run(own or config(), **{**settings, **kwargs})


def test_an_imagenet_config_learns_the_benchmarks_classes_from_rgb_images():
    run = run_of()
    assert run.model.head.num_classes == 2 and run.model.head.topk == (1,)
    assert run.model.data_preprocessor.num_classes == 2
    # CellPatchDataset gives RGB; the config's own loader would have given BGR.
    assert run.model.data_preprocessor.to_rgb is False
    pipeline = run.train_dataloader.dataset.pipeline
    assert [t.type for t in pipeline] == ['RandomCrop', 'RandomCellFlip', 'PackInputs']
    assert [t.get('_scope_') for t in pipeline] == ['mmpretrain', None, 'mmpretrain']
    assert pipeline[1].seed == 3
    loader = run.train_dataloader
    assert loader.dataset.type == 'mmagic.CellPatchDataset'
    assert loader.dataset.metainfo.classes == list(CLASSES)
    assert loader.sampler.type == 'mmagic.ResumableInfiniteSampler'
    assert 'drop_last' not in loader and loader.num_workers == 2
    assert run.randomness.seed == 3 and run.train_cfg.max_iters == 200


def test_nothing_is_validated_unless_there_are_images_for_it():
    run = run_of()
    assert not any(key.startswith(('val', 'test')) for key in run)
    assert run.prediction_dataloader.dataset.ann_file == '/lists/test.csv'
    assert run.prediction_dataloader.sampler.shuffle is False
    run = run_of(val=dict(PART, ann_file='/lists/val.csv'), select='best')
    assert run.val_dataloader.dataset.ann_file == '/lists/val.csv'
    assert run.default_hooks.checkpoint.save_best == 'accuracy/top1'
    with pytest.raises(ValueError, match='validation images'):
        run_of(select='best')


def test_synthetic_images_are_a_second_part_that_may_lack_classes():
    run = run_of(train=[PART, dict(PART, ann_file='/lists/synthetic.csv')])
    dataset = run.train_dataloader.dataset
    assert dataset.type == 'ConcatDataset'
    assert [part.ann_file for part in dataset.datasets] == [
        '/lists/train.csv',
        '/lists/synthetic.csv',
    ]
    assert [part.get('test_mode', False) for part in dataset.datasets] == [False, True]


def test_own_hooks_and_modules_are_kept_and_ours_are_not_doubled():
    own = config(
        custom_hooks=[
            dict(type='EMAHook'),
            dict(type='mmagic.PreemptionHook', signals=['SIGTERM']),
        ],
        custom_imports=dict(imports='my_models'),
    )
    run = run_of(own)
    assert [h.type for h in run.custom_hooks] == [
        'EMAHook',
        'mmagic.PreemptionHook',
        'mmagic.NonFiniteLossHook',
    ]
    assert run.custom_imports.imports == ['cellgan_plugin', 'my_models']


def test_a_run_is_the_same_when_it_is_read_again(tmp_path):
    run = run_of()
    path = write_run(run, tmp_path / 'run.py')
    assert Config.fromfile(path).to_dict() == run.to_dict()


def rates(schedulers, iterations, lr=1.0):
    """The learning rate of every iteration."""
    model = torch.nn.Linear(1, 1)
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=lr)))
    built = [PARAM_SCHEDULERS.build(dict(s, optimizer=wrapper)) for s in schedulers]
    found = []
    for _ in range(iterations):
        found.append(wrapper.optimizer.param_groups[0]['lr'])
        for scheduler in built:
            scheduler.step()
    return found


@pytest.mark.filterwarnings('ignore:Detected call of')
def test_schedules_keep_their_share_of_the_run():
    steps = dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60], gamma=0.1)
    found = rates(stretched_schedule(steps, dict(max_epochs=100), 50), 50)
    assert found[:15] == [1.0] * 15
    assert found[15:30] == pytest.approx([0.1] * 15) and found[30:] == pytest.approx([0.01] * 20)

    warm = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
        dict(type='CosineAnnealingLR', T_max=180, by_epoch=False, begin=20, end=200),
    ]
    for iterations in (200, 100, 400):
        found = rates(stretched_schedule(warm, dict(max_iters=200), iterations), iterations)
        assert found[0] == pytest.approx(0.1)
        assert found.index(max(found)) == pytest.approx(iterations // 10, abs=1)
        assert found[-1] < 0.01
        middle = found[iterations // 10 + iterations * 9 // 20]
        assert middle == pytest.approx(0.5, abs=0.03)
    decay = [dict(type='ExponentialLR', gamma=0.5, by_epoch=True)]
    found = rates(stretched_schedule(decay, dict(max_epochs=4), 40), 41)
    assert found[40] == pytest.approx(0.5**4)
    assert stretched_schedule(None, None, 10) == [] == stretched_schedule([], {}, 10)
    # Even a run of three steps has a warm-up of one.
    assert stretched_schedule(warm, dict(max_iters=200), 3)[0]['end'] == 1
    with pytest.raises(ValueError, match='max_epochs'):
        stretched_schedule(steps, dict(max_iters=100), 50)


def test_iterations_are_whole_passes():
    assert number_of_iterations(30, 1600, 64) == 750  # Sec. 3.3: 5 x 320 images
    assert number_of_iterations(30, 11600, 64) == 30 * 182
    assert number_of_iterations(2, 5, 8) == 2


def test_the_identity_sees_what_matters_and_nothing_else(tmp_path):
    first = classifier_identity(config())
    assert classifier_identity(config()) == first
    loader = Config(BASE).train_dataloader.to_dict()
    assert classifier_identity(config(train_dataloader={**loader, 'num_workers': 7})) == first
    for changes in (
        dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=2.0))),
        dict(train_dataloader={**loader, 'batch_size': 9}),
        dict(custom_hooks=[dict(type='EMAHook')]),
    ):
        assert classifier_identity(config(**changes)) != first
    weights = tmp_path / 'weights.pth'
    model = Config(BASE).model.to_dict()
    model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(weights))
    found = []
    for content in (b'one', b'two'):
        weights.write_bytes(content)
        found.append(classifier_identity(config(model=model)))
    assert found[0] != found[1]
    assert starting_weights(config(model=model)) == [str(weights)]
    assert starting_weights(config()) == []


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(model=dict(type='CellGAN')), 'head.num_classes'),
        (dict(optim_wrapper=None), 'optim_wrapper'),
        (dict(train_dataloader=dict(batch_size=8, dataset=dict(type='X'))), 'no pipeline'),
        (dict(val_dataloader=None), 'test_dataloader'),
    ],
)
def test_configs_that_cannot_be_used_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        read_classifier(config(**changes))


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.py'):
        read_classifier(tmp_path / 'none.py')


@pytest.mark.parametrize(
    'name', ['benchmark_resnet34', 'benchmark_densenet121', 'benchmark_resnet18_64',
             'benchmark_densenet_64']
)  # fmt: skip
def test_the_benchmarks_classifiers_are_complete(request, name, monkeypatch):
    path = request.config.rootpath / 'configs' / 'classifiers' / f'{name}.py'
    own = read_classifier(path)
    assert starting_weights(own) == []
    run = run_of(own)
    assert run.model.head.cal_acc is True
    if name.endswith(('34', '121')):  # Sec. 3.3
        assert run.optim_wrapper.optimizer.lr == 1e-4 and run.optim_wrapper.optimizer.type == 'SGD'
        assert run.train_dataloader.batch_size == 64 and run.param_scheduler == []
        monkeypatch.setenv('CELLGAN_IMAGENET_RESNET34', '/weights/a.pth')
        monkeypatch.setenv('CELLGAN_IMAGENET_DENSENET121', '/weights/b.pth')
        weights = starting_weights(read_classifier(path))
        assert weights == ['/weights/a.pth' if name.endswith('34') else '/weights/b.pth']
    from mmengine.registry import DefaultScope
    from mmpretrain.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(run.model).eval()
    size = 64 if '64' in name else 256
    with torch.no_grad():
        assert model(torch.zeros(1, 3, size, size)).shape == (1, 2)
    count = sum(p.numel() for p in model.parameters())
    # 1000 classes less than in the papers of the networks.
    expected = dict(benchmark_resnet34=21.29e6, benchmark_densenet121=6.956e6)
    if name in expected:
        assert count == pytest.approx(expected[name], rel=1e-3)


def test_synthetic_images_first_and_then_the_real_ones_for_the_other_half():
    run = run_of(train=[PART, PART], synthetic_first=True, iterations=21)
    loader = run.train_dataloader
    assert loader.sampler == dict(type='mmagic.PretrainingSampler', pretraining_samples=10 * 8)
    assert [part.get('test_mode') for part in loader.dataset.datasets] == [None, True]
