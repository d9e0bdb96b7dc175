"""The schedule over scales under a Runner: switches, freezing, exact resume."""

import copy

import pytest
import torch
from mmagic.structures import DataSample
from mmengine.evaluator import BaseMetric
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tiny_pyramid import DISCRIMINATOR, GENERATOR, OPTIMIZERS, SCALES, SEGMENTER, tissue_batch

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.engine.hooks import SafeCheckpointHook


class Tiles(torch.utils.data.Dataset):
    """Twelve tiles in memory; they remember nothing of the run."""

    metainfo = dict(classes=('stroma', 'gland'))

    def __init__(self, size=32):
        inputs = tissue_batch(12, size, seed=1)['inputs']
        self.samples = [{key: inputs[key][i] for key in inputs} for i in range(12)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return dict(inputs=self.samples[int(index)], data_samples=DataSample())


class StopAt(SafeCheckpointHook):
    """Saves once, after ``step`` iterations, and stops."""

    def __init__(self, step):
        super().__init__(interval=10**9, by_epoch=False, save_last=False)
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.step:
            self.save_now(runner)
            runner.train_loop.request_stop('test')


def runner(tmp_path, name, stop=None, resume=None, scales=SCALES, workers=0, **options):
    config = dict(
        model=dict(
            type='PyramidGAN',
            num_classes=2,
            scales=list(scales),
            generator=GENERATOR,
            discriminator=DISCRIMINATOR,
            segmenter=dict(SEGMENTER, dropout=0.2),
            segmenter_noise=0.1,
            synthetic_start=0.5,
        ),
        work_dir=str(tmp_path / name),
        train_dataloader=dict(
            dataset=Tiles(),
            sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
            batch_size=1,
            num_workers=workers,
            persistent_workers=workers > 0,
        ),
        train_cfg=dict(type='ScaleTrainLoop'),
        optim_wrapper=copy.deepcopy(OPTIMIZERS),
        default_hooks=dict(
            checkpoint=None, logger=None, timer=None, sampler_seed=None, param_scheduler=None
        ),
        custom_hooks=[StopAt(stop)] if stop else None,
        randomness=dict(seed=3),
        default_scope='mmagic',
        experiment_name=f'{tmp_path.name}_{name}',
        log_level='ERROR',
        resume=resume is not None,
        load_from=resume,
    )
    config.update(options)
    torch.manual_seed(0)
    return Runner(**config)


def train(*args, **kwargs):
    with DefaultScope.overwrite_default_scope('mmagic'):
        built = runner(*args, **kwargs)
        built.train()
    return built


def final_state(path):
    saved = load_tensors(path, 'cpu')
    return {**saved['state_dict'], **{f'optimizer.{k}': v for k, v in flat(saved['optimizer'])}}


def flat(value, prefix=''):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f'{prefix}.{key}')
    elif isinstance(value, torch.Tensor):
        yield prefix, value


def assert_same(a, b):
    assert a.keys() == b.keys()
    different = [key for key in a if not torch.equal(a[key], b[key])]
    assert not different, different[:5]


class Nothing(BaseMetric):
    """Measures nothing; what matters is that a validation runs."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(images=len(results))


def validated(interval):
    """Options of :func:`runner` for a validation every ``interval`` iterations."""
    return dict(
        train_cfg=dict(type='ScaleTrainLoop', val_interval=interval),
        val_dataloader=dict(
            dataset=Tiles(), sampler=dict(type='DefaultSampler', shuffle=False), batch_size=4
        ),
        val_cfg=dict(),
        val_evaluator=[Nothing()],
    )


@pytest.mark.parametrize('stop', [3, 5], ids=['between scales', 'in the middle of scale 2'])
def test_a_resumed_run_ends_with_the_numbers_of_one_that_was_never_stopped(tmp_path, stop):
    # The iteration of the checkpoint is validated after it was saved, as the end of every scale is.
    train(tmp_path, 'whole', stop=9, **validated(stop))
    train(tmp_path, 'first', stop=stop)
    middle = str(tmp_path / 'first' / f'iter_{stop}.pth')
    saved = load_tensors(middle, 'cpu')
    assert int(saved['state_dict']['scale_index']) == (0 if stop == 3 else 1)
    train(tmp_path, 'second', stop=9, resume=middle, **validated(stop))
    assert_same(
        final_state(tmp_path / 'whole' / 'iter_9.pth'),
        final_state(tmp_path / 'second' / 'iter_9.pth'),
    )


def test_the_schedule_rules_batches_sizes_and_optimizers(tmp_path):
    seen = []

    class Watch(StopAt):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            model = runner.model
            in_optimizer = {
                id(p)
                for wrapper in runner.optim_wrapper.values()
                for group in wrapper.optimizer.param_groups
                for p in group['params']
            }
            expected = {id(p) for n in model.trained_networks().values() for p in n.parameters()}
            assert in_optimizer == expected
            assert len(data_batch['inputs']['img']) == runner.train_dataloader.batch_size
            seen.append(
                (model.size, runner.train_dataloader.batch_size, round(model.scale_epoch, 4))
            )

    done = train(tmp_path, 'run', custom_hooks=[Watch(9)])
    # 12 tiles: 3 steps of 4, 4 of 3, 6 of 2 make an epoch.
    assert seen == [
        (8, 4, 0.0), (8, 4, 0.3333), (8, 4, 0.6667),
        (16, 3, 0.0), (16, 3, 0.25), (16, 3, 0.5),
        (32, 2, 0.0), (32, 2, 0.1667), (32, 2, 0.3333),
    ]  # fmt: skip
    assert done.train_loop.ends == [3, 6, 9] and done.iter == 9


def test_finished_scales_change_neither_weights_nor_buffers(tmp_path):
    snapshots = {}

    class Watch(StopAt):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            for kind in ('generators', 'discriminators', 'segmenters'):
                for number, network in enumerate(getattr(runner.model, kind)):
                    if number < runner.model.scale:
                        assert not network.training
                        assert all(not p.requires_grad for p in network.parameters())
                        assert all(p.grad is None for p in network.parameters())
                        state = {k: v.clone() for k, v in network.state_dict().items()}
                        first = snapshots.setdefault((kind, number), state)
                        assert_same(first, state)

    train(tmp_path, 'run', custom_hooks=[Watch(9)])
    assert len(snapshots) == 6


def test_workers_do_not_change_the_numbers(tmp_path):
    train(tmp_path, 'none', stop=4)
    train(tmp_path, 'one', stop=4, workers=1)
    assert_same(
        final_state(tmp_path / 'none' / 'iter_4.pth'), final_state(tmp_path / 'one' / 'iter_4.pth')
    )


def test_another_schedule_is_refused_on_resume(tmp_path):
    train(tmp_path, 'first', stop=5)
    longer = [dict(SCALES[0], iters=7), *SCALES[1:]]
    with pytest.raises(ValueError, match='was training scale 1 at iteration 5.*that is scale 0'):
        train(tmp_path, 'second', resume=str(tmp_path / 'first' / 'iter_5.pth'), scales=longer)


@pytest.mark.parametrize(
    ('number', 'change', 'refused'),
    [
        (1, dict(batch_size=2), True),  # other samples in the scale that goes on
        (0, dict(size=4), True),
        (1, dict(iters=4), False),  # longer: no iteration so far would have been another
        (2, dict(batch_size=1), False),
    ],
)
def test_a_schedule_may_change_only_from_here_on(tmp_path, number, change, refused):
    train(tmp_path, 'first', stop=5)
    scales = [dict(scale) for scale in SCALES]
    scales[number].update(change)
    resumed = dict(resume=str(tmp_path / 'first' / 'iter_5.pth'), scales=scales)
    if refused:
        with pytest.raises(ValueError, match='another schedule .*16 px: 3 iterations of 3 of 12'):
            train(tmp_path, 'second', **resumed)
    else:
        assert train(tmp_path, 'second', stop=7, **resumed).iter == 7


def test_a_perceptual_term_does_not_come_or_go_on_resume(tmp_path):
    train(tmp_path, 'first', stop=5)
    path = tmp_path / 'first' / 'iter_5.pth'
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint['scale_schedule']['perceptual'] == ''
    checkpoint['scale_schedule']['perceptual'] = 'ab12' * 16
    loop = train(tmp_path, 'second', stop=0).train_loop
    with pytest.raises(ValueError, match='with VGG weights ab12ab12ab12, and this run is without'):
        loop.enter_resumed(1, 5, checkpoint['scale_schedule'])


def test_what_would_not_survive_a_change_of_scale_is_refused(tmp_path):
    with pytest.raises(ValueError, match='param_scheduler is set'):
        train(tmp_path, 'run', param_scheduler=dict(type='ConstantLR', by_epoch=False))
    with pytest.raises(ValueError, match='no entry for segmenter'):
        left = {k: v for k, v in OPTIMIZERS.items() if k != 'segmenter'}
        train(tmp_path, 'run2', optim_wrapper=left)


def test_tiles_of_another_size_are_named(tmp_path):
    loader = dict(
        dataset=Tiles(16),
        sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
        batch_size=1,
    )
    with pytest.raises(ValueError, match=r'\(3, 16, 16\).*tile_size=32'):
        train(tmp_path, 'run', train_dataloader=loader)


def test_samples_of_every_scale_are_a_stream_of_their_own(tmp_path):
    order = []

    class Recording(Tiles):
        def __getitem__(self, index):
            if hasattr(index, 'position'):  # not the look that the model takes at the data
                order.append((int(index), index.position))
            return super().__getitem__(index)

    loader = dict(
        dataset=Recording(),
        sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
        batch_size=1,
    )
    train(tmp_path, 'run', train_dataloader=loader)
    positions = [position for _, position in order]
    assert positions == [*range(12), *range(9), *range(6)]
    assert sorted(i for i, _ in order[:12]) == list(range(12)), 'an epoch sees every tile once'
    assert len({i for i, _ in order[12:21]}) == 9


class FewLabels(Tiles):
    """Three of the twelve tiles are labelled."""

    def labelled_flags(self):
        return torch.arange(12).numpy() < 3


def loader(dataset, **sampler):
    return dict(dataset=dataset, sampler=sampler, batch_size=4, num_workers=0)


def test_unlabelled_images_need_a_sampler_that_mixes_them(tmp_path):
    plain = loader(FewLabels(), type='ResumableInfiniteSampler', shuffle=True)
    with pytest.raises(ValueError, match='9 of 12 training samples are unlabelled.*labelled_only'):
        train(tmp_path, 'plain', train_dataloader=plain)
    mixed = loader(FewLabels(), type='LabelledBatchSampler', labelled=2, unlabelled=2)
    train(tmp_path, 'mixed', train_dataloader=mixed)


def test_an_epoch_may_be_longer_than_the_training_set(tmp_path):
    scales = [dict(size=8, batch_size=4, epochs=1), dict(size=32, batch_size=5, epochs=0.5)]
    own = train(tmp_path, 'own', scales=scales)
    assert own.train_loop.ends == [3, 5]  # of 12 tiles
    loop = dict(type='ScaleTrainLoop', epoch_images=40)
    longer = train(tmp_path, 'longer', scales=scales, train_cfg=loop)
    assert longer.train_loop.ends == [10, 14]
    assert longer.model.scale_epoch == 3 / 8  # before the last step of 40 / 5 an epoch
    with pytest.raises(ValueError, match='epoch_images'):
        train(tmp_path, 'none', scales=scales, train_cfg=dict(loop, epoch_images=0))
