import logging
import tempfile

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from evaluation_helpers import (
    CLASSES,
    TinyFeatures,
    dataset_of,
    evaluate,
    loader_of,
    tiny_gan,
    write_images,
)
from mmagic.registry import METRICS, MODELS
from mmagic.structures import DataSample

from cellgan_plugin.evaluation import ClassDistances
from cellgan_plugin.evaluation.class_table import TableOptions, class_table
from cellgan_plugin.evaluation.distances import frechet_distance, kernel_distance
from cellgan_plugin.evaluation.extractors import ExtractorError
from cellgan_plugin.evaluation.features import FeatureSet, RealImages
from cellgan_plugin.evaluation.metrics.sampler import ClassSampler, numbers_per_class
from cellgan_plugin.models import generated_pixels
from cellgan_plugin.randomness import generator_for


@pytest.fixture(scope='module')
def real(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp('real'), dict(NILM=9, LSIL=7, HSIL=8), size=32)


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / 'cache')


def run(model, real, cache, batch_size=4, **kwargs):
    metric = ClassDistances(TinyFeatures(), cache_dir=cache, batch_size=batch_size, **kwargs)
    values, _ = evaluate(model, [metric], loader_of(dataset_of(real)))
    return values, metric


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert b[key] == pytest.approx(a[key], rel=1e-4, abs=1e-7), key


def test_values_are_those_of_a_plain_computation(mmagic_scope, real, cache):
    model = tiny_gan()
    values, metric = run(model, real, cache, distances=['fd', 'kid', 'prdc'])
    extractor, dataset = TinyFeatures(), dataset_of(real)
    real_features, fake_features = [], []
    for label, count in enumerate([9, 7, 8]):
        images = [
            dataset[i]['inputs']['img'] for i in range(24) if dataset.get_labels()[i] == label
        ]
        real_features.append(extractor.of_images(images))
        noise = torch.stack(
            [torch.randn(8, generator=generator_for(0, 'evaluate', label, i)) for i in range(count)]
        )
        inputs = dict(noise=noise, labels=[label] * count, sample_model='ema')
        fake_features.append(extractor(generated_pixels(model(inputs))))
        expected = frechet_distance(real_features[-1], fake_features[-1])
        assert values[f'FD(tiny0)/{CLASSES[label]}'] == pytest.approx(expected, rel=1e-4)
    mean = np.mean([values[f'FD(tiny0)/{name}'] for name in CLASSES])
    assert values['FD(tiny0)/mean'] == pytest.approx(mean)
    pooled = frechet_distance(torch.cat(real_features), torch.cat(fake_features))
    assert values['FD(tiny0)/pooled'] == pytest.approx(pooled, rel=1e-4)
    assert set(values) == {
        f'{metric_name}/{row}'
        for metric_name in ('FD(tiny0)', 'KD(tiny0)', 'precision', 'recall', 'density', 'coverage')
        for row in (*CLASSES, 'mean', 'pooled')
    }
    assert metric.report['protocol']['sample_model'] == 'ema'
    assert [row['fake'] for row in metric.report['rows']] == [9, 7, 8, 24, 24]


@pytest.mark.parametrize('batch_size', [1, 5, 100])
def test_batch_size_makes_no_difference(mmagic_scope, real, cache, batch_size):
    model = tiny_gan()
    assert_same(run(model, real, cache, 4)[0], run(model, real, None, batch_size)[0])


def test_order_of_batches_makes_no_difference(mmagic_scope, real, cache, monkeypatch):
    model = tiny_gan()
    expected = run(model, real, cache)[0]
    forward = ClassSampler.__iter__
    monkeypatch.setattr(ClassSampler, '__iter__', lambda self: iter(list(forward(self))[::-1]))
    assert_same(expected, run(model, real, cache)[0])


def rank_of_two(rank, rendezvous, real, cache, results):
    torch.distributed.init_process_group('gloo', f'file://{rendezvous}', rank=rank, world_size=2)
    results[rank] = run(tiny_gan(), real, cache, distances=['fd', 'kid'])[0]
    torch.distributed.destroy_process_group()


def test_two_ranks_give_what_one_gives(mmagic_scope, real, cache):
    context = multiprocessing.get_context('fork')
    for folder in (None, cache):  # computed on both ranks; read on the first
        results = context.Manager().dict()
        with tempfile.NamedTemporaryFile() as file:
            arguments = (file.name + '.shared', real, folder or cache, results)
            ranks = [context.Process(target=rank_of_two, args=(r, *arguments)) for r in (0, 1)]
            for process in ranks:
                process.start()
            for process in ranks:
                process.join(120)
        assert results[0] == results[1]
        one = run(tiny_gan(), real, cache + '_one', distances=['fd', 'kid'])[0]
        assert_same(one, dict(results[0]))


def test_metrics_with_the_same_sampling_share_one_pass(mmagic_scope, real, cache):
    model = tiny_gan()
    metrics = [ClassDistances(TinyFeatures(seed), cache_dir=cache) for seed in (0, 1)]
    values, passes = evaluate(model, metrics, loader_of(dataset_of(real)))
    assert passes == 1
    assert {'FD(tiny0)/mean', 'FD(tiny1)/mean'} <= set(values)
    metrics.append(ClassDistances(TinyFeatures(2), cache_dir=cache, fake_nums=3))
    values, passes = evaluate(model, metrics, loader_of(dataset_of(real)))
    assert passes == 2
    assert metrics[2].report['rows'][0]['fake'] == 3


def test_generated_images_are_rounded_and_in_the_colours_of_the_real_ones(
    mmagic_scope, real, cache
):
    metric = ClassDistances(TinyFeatures(), cache_dir=cache)
    metric.prepare(tiny_gan(), loader_of(dataset_of(real)))
    assert metric.fake_channel_order == 'BGR'
    image = torch.tensor([10.6, 200.4, 300.0]).view(3, 1, 1)
    assert metric._as_png(image).flatten().tolist() == [255, 200, 11]


def test_mmagics_own_biggan(mmagic_scope, real, cache):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='BigGAN',
            num_classes=3,
            data_preprocessor=dict(type='DataPreprocessor', output_channel_order='RGB'),
            generator=dict(
                type='BigGANGenerator', output_scale=32, noise_size=20, num_classes=3,
                base_channels=4,
            ),
            discriminator=dict(
                type='BigGANDiscriminator', input_scale=32, num_classes=3, base_channels=4
            ),
            ema_config=dict(type='ExponentialMovingAverage'),
        )
    ).eval()  # fmt: skip
    seen = []
    metric = METRICS.build(
        dict(type='ClassDistances', extractor=TinyFeatures(), cache_dir=cache, batch_size=5)
    )
    process = metric.process
    metric.process = lambda batch, samples: (
        seen.extend(
            (label, int(sample['gt_label']['label']))
            for (label, _), sample in zip(batch.rows, samples, strict=True)
        ),
        process(batch, samples),
    )
    values, _ = evaluate(model, [metric], loader_of(dataset_of(real)))
    assert len(seen) == 24 and all(asked == given for asked, given in seen)
    assert metric.fake_channel_order == 'RGB'
    assert np.isfinite(values['FD(tiny0)/mean'])


def test_ema_and_orig_are_told_apart(mmagic_scope, real, cache):
    model = tiny_gan()
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ema = run(model, real, cache)[0]
    assert ema == run(model, real, cache, sample_model='ema')[0]
    assert ema != run(model, real, cache, sample_model='orig')[0]


def test_the_authors_arithmetic_drops_tails_and_says_so(mmagic_scope, real, cache):
    values, metric = run(tiny_gan(), real, cache, batch_size=4, authors_arithmetic=True)
    assert [row['real'] for row in metric.report['rows']] == [8, 4, 8, 20, 20]
    assert [row['fake'] for row in metric.report['rows']] == [8, 4, 8, 20, 20]
    assert "FID(authors' arithmetic)/mean" in values
    assert metric.report['protocol']['authors_arithmetic'] is True
    assert metric.report['protocol']['extractor']['authors'] is True


def test_impossible_classes_are_rows_that_say_why(mmagic_scope, tmp_path, cache, caplog):
    real = write_images(tmp_path / 'real', dict(NILM=6, LSIL=1), size=32)
    with caplog.at_level(logging.WARNING):
        values, metric = run(tiny_gan(), real, cache, fake_nums=5)
    rows = {row['row']: row for row in metric.report['rows']}
    assert 'only one real image' in rows['LSIL']['notes'][0]
    assert 'no real image' in rows['HSIL']['notes'][0]
    assert not rows['LSIL']['values'] and not rows['HSIL']['values']
    assert 'FD(tiny0)/LSIL' not in values
    assert values['FD(tiny0)/mean'] == values['FD(tiny0)/NILM']
    assert 'mean over 1 of 3 classes' in rows['mean']['notes'][0]
    assert 'few images' in rows['NILM']['notes'][0]
    low, high = rows['NILM']['intervals']['FD(tiny0)']
    assert low <= values['FD(tiny0)/NILM'] <= high


def test_memorised_training_images_and_new_ones(mmagic_scope, real, cache, tmp_path):
    new = write_images(tmp_path / 'new', dict(NILM=20, LSIL=20, HSIL=20), size=32, seed=5)
    from cellgan_plugin.runs.evaluate_folders import evaluate_folders

    scores = {}
    for name, folder in (('copies', real), ('new', new)):
        report = evaluate_folders(
            new, folder, TinyFeatures(), training=real, cache_dir=cache, distances=['fd']
        )
        scores[name] = report['rows'][-1]['values']['memorised']
    assert scores['copies'] == 1.0
    assert scores['new'] < 0.1
    values, _ = run(tiny_gan(), real, cache, memorisation=dict(training='real'))
    assert values['memorised/pooled'] < 0.2


def test_features_that_are_not_finite(mmagic_scope, real, cache):
    metric = ClassDistances(TinyFeatures(bad=True), cache_dir=cache)
    with pytest.raises(ValueError, match=r'\.png: the features of tiny0 are NaN or infinite'):
        evaluate(tiny_gan(), [metric], loader_of(dataset_of(real)))
    metric = ClassDistances(TinyFeatures(), cache_dir=cache)
    metric.prepare(tiny_gan(), loader_of(dataset_of(real)))
    features = np.ones((24, 6), np.float32)
    features[3] = np.nan
    rows = metric.compute_metrics((metric.real.labels, features))
    assert 'fd not computable: fake features hold' in rows[0].notes[-1]
    assert not rows[0].values and rows[1].values


def test_a_generator_that_has_diverged_gets_no_distance(mmagic_scope, real, cache):
    model = tiny_gan()
    with torch.no_grad():
        for parameter in model.generator_ema.parameters():
            parameter.fill_(torch.nan)
    values, metric = run(model, real, cache)
    assert values == {}
    assert 'not computable: fake features hold' in metric.report['rows'][0]['notes'][-1]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(fake_nums=0), "'match', a positive number"),
        (dict(distances=['fid']), "'fid'"),
        (dict(sample_model='best'), 'sample_model'),
        (dict(memorisation=dict(quantile=1)), 'training='),
        (dict(options=dict(interval='maybe')), 'interval'),
    ],
)
def test_wrong_options_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        ClassDistances(TinyFeatures(), **options)


def test_a_model_with_other_classes_is_refused(mmagic_scope, real, cache):
    with pytest.raises(ValueError, match='the model has 5 classes'):
        run(tiny_gan(num_classes=5), real, cache)


def test_a_judge_of_other_classes_is_refused(mmagic_scope, real, cache):
    extractor = TinyFeatures()
    extractor.classes, extractor.any_classes = ('Normal', 'CIN1', 'CIN2'), False
    metric = ClassDistances(extractor, cache_dir=cache, batch_size=4)
    with pytest.raises(ExtractorError, match="trained on the classes .'Normal'"):
        evaluate(tiny_gan(), [metric], loader_of(dataset_of(real)))
    assert not extractor.calls  # before any image is read


def test_numbers_per_class():
    assert numbers_per_class('match', [3, 4], ['a', 'b']) == [3, 4]
    assert numbers_per_class(7, [3, 4], ['a', 'b']) == [7, 7]
    assert numbers_per_class({'b': 2}, [3, 4], ['a', 'b']) == [0, 2]
    with pytest.raises(ValueError, match=r"names classes \['c'\]"):
        numbers_per_class({'c': 2}, [3, 4], ['a', 'b'])


@pytest.mark.parametrize(
    'words, expected',
    [
        (dict(img_channel_order='RGB'), [10, 20, 30]),
        (dict(img_channel_order='BGR'), [30, 20, 10]),
        (dict(gt_channel_order='RGB'), [10, 20, 30]),
        ({}, [30, 20, 10]),  # MMagic's loader gives BGR and says nothing
    ],
)
def test_real_images_reach_the_extractor_as_rgb(words, expected):
    pixels = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1).expand(3, 2, 2)
    sample = DataSample(metainfo=dict(img_path='a.png', **words))
    sample.set_gt_label(1)
    found = RealImages([dict(inputs=dict(img=pixels), data_samples=sample)])[0]
    assert found.image[:, 0, 0].tolist() == expected
    assert (found.label, found.path) == (1, 'a.png')
    grey = RealImages([dict(inputs=dict(img=pixels[:1]), data_samples=sample)])[0]
    assert grey.image.shape == (1, 2, 2)


def test_the_interval_of_the_kernel_distance_is_95_percent():
    draws = np.random.default_rng(0)
    sets = [
        FeatureSet(draws.normal(size=(12, 3)) + shift, np.zeros(12, int), ('NILM',), 'tiny', {})
        for shift in (0, 1)
    ]
    row = class_table(*sets, options=TableOptions(distances=('kid',)))[0]
    value, error, _ = kernel_distance(sets[0].features, sets[1].features)
    assert row.values['KD'] == value and error > 0
    expected = (value - 1.959964 * error, value + 1.959964 * error)
    assert row.intervals['KD'] == pytest.approx(expected, rel=1e-3)
