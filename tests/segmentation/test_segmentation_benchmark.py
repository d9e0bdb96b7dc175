import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from tiny_pyramid import DISCRIMINATOR, GENERATOR
from tiny_segmenters import training_config, write_pairs

from cellgan_plugin.datasets import TissueMaskDataset
from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.errors import ConfigError, ProtocolError
from cellgan_plugin.evaluation.segmentation import part_scores, pixel_scores
from cellgan_plugin.models.pyramid_gan.scales import parse_scales
from cellgan_plugin.records import RecordError
from cellgan_plugin.runs.config_values import training_scale
from cellgan_plugin.segmentation.benchmark import (
    SegmentationBenchmark,
    segmentation_benchmark,
)
from cellgan_plugin.segmentation.evaluate_masks import read_scores
from cellgan_plugin.segmentation.figures import draw_improvements, draw_score_curves
from cellgan_plugin.segmentation.job import run_job
from cellgan_plugin.segmentation.page import joined
from cellgan_plugin.segmentation.plan import Division, segmenter_runs
from cellgan_plugin.segmentation.protocol import read_segmentation_protocol
from cellgan_plugin.segmentation.results import (
    SegmentationResults,
    Trained,
    normalised_improvements,
    parts_table,
    per_class_table,
    ratio_table,
    size_table,
    with_published,
)
from cellgan_plugin.visualization.report_tables import Column, ReportTable, markdown_table

REPO = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Pairs of six patients, and configs of two methods."""
    folder = tmp_path_factory.mktemp('benchmark')
    write_pairs(folder / 'data', 9)
    rows = (folder / 'data' / 'manifest.csv').read_text().splitlines()
    # The first three test, the others train.
    rows[4:] = [row.replace(',test,', ',train,') for row in rows[4:]]
    (folder / 'data' / 'manifest.csv').write_text('\n'.join(rows) + '\n')
    training_config().dump(folder / 'single.py')
    training_config(semi=True).dump(folder / 'semi.py')
    return folder


def plan(folder, **changes):
    """The benchmark as a config, with changes."""
    values = dict(
        title='dark squares',
        data=dict(
            data_root=str(folder / 'data'), classes=['stroma', 'gland'], instances='binary',
            test='test',
        ),
        methods={
            'single': dict(config=str(folder / 'single.py')),
            'semi': dict(
                config=str(folder / 'semi.py'), unlabelled=True,
                full_config=str(folder / 'single.py'),
            ),
        },
        ratios=[0.5, 1.0],
        rule=dict(min_area=20),
        parts=dict(A='testA_', B='testB_'),
        baseline=['single', 'single', 'semi'],
    )  # fmt: skip
    values.update(changes)
    return Config(values)


def test_networks_that_cannot_be_built_are_named_before_any_job(folder, tmp_path):
    protocol = read_segmentation_protocol(plan(folder, options={'model.bias': None}))
    words = r"method 'single': model \(LearnsDarkness\) cannot be built: "
    with pytest.raises(ConfigError, match=words):
        SegmentationBenchmark(protocol, tmp_path)
    assert not (tmp_path / 'jobs').exists()


def test_trains_scores_and_continues(folder, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(
        [str(Path(__file__).parents[1]), os.environ.get('PYTHONPATH', '')]))  # fmt: skip
    protocol = read_segmentation_protocol(
        plan(folder), only=['single', 'semi'], ratios=(0.5,), seeds=(3,)
    )
    out = tmp_path / 'out'
    results = segmentation_benchmark(protocol, out, workers=2)
    assert [r.state for r in results.values()] == ['done', 'done'], results
    benchmark = SegmentationBenchmark(protocol, out)
    found = benchmark.results()
    table = ratio_table(found, 'mIoU')
    for one, cell in zip(found.trained, benchmark.runs, strict=True):
        scores, classes = read_scores(cell.work_dir / 'scores.json')
        assert [s.name for s in scores] == ['testB_0', 'testA_1', 'testB_2']
        pooled = pixel_scores(sum(s.confusion for s in scores))
        assert one.value('mIoU') == pooled.mean_iou > 0.85  # learned: it starts below 0.5
        assert part_scores(scores, classes)['A']['images'] == 1
        assert one.iterations == 8
        assert not list(cell.work_dir.glob('*.pth'))
        run = Config.fromfile(cell.work_dir / 'run.py').train_dataloader.dataset
        assert run.labelled_ratio == 0.5 and run.labelled_seed == 3 and run.split == 'train'
        assert run.labelled_only == (cell.method == 'single')
    assert table.rows[0]['0.5'][0] == found.trained[0].value('mIoU')
    written = {path.name for path in out.iterdir()}
    assert {'mIoU.md', 'object_f1.tex', 'glas_metrics.csv', 'pixel_scores.json', 'scores.png',
            'improvements.png', 'masks.png', 'segmentation_benchmark.json'} <= written  # fmt: skip
    text = (out / 'mIoU.md').read_text()
    assert 'Training iterations over all scales: single 8; semi 8' in text
    assert '6 training and 3 test images' in text

    # What is done is not done again; a changed setting is refused.
    again = segmentation_benchmark(protocol, out, workers=1)
    assert [r.state for r in again.values()] == ['already done', 'already done']
    other = read_segmentation_protocol(
        plan(folder, options=dict(model=dict(bias=-9.0))), ratios=(0.5,), seeds=(3,)
    )
    with pytest.raises(RecordError, match='model.bias: -3.0 there, -9.0 now'):
        SegmentationBenchmark(other, out)


def test_which_trainings_there_are(folder, tmp_path):
    benchmark = SegmentationBenchmark(read_segmentation_protocol(plan(folder)), tmp_path)
    made = [(c.method, c.ratio, Path(c.config.filename).name) for c in benchmark.runs]
    # With all masks nothing is left for semi-supervision: it is trained by its other config.
    assert made == [
        ('single', 0.5, 'single.py'), ('single', 1.0, 'single.py'),
        ('semi', 0.5, 'semi.py'), ('semi', 1.0, 'single.py'),
    ]  # fmt: skip
    full = benchmark.runs[1].config
    assert full.train_dataloader.dataset.labelled_ratio is None
    assert not full.train_dataloader.dataset.labelled_only
    assert 'val_cfg' not in full and full.randomness.seed == 0
    assert not (tmp_path / 'jobs').exists()  # nothing was written but hashes

    methods = {
        'semi': dict(config=str(folder / 'semi.py'), unlabelled=True),
        'trans': dict(config=str(folder / 'semi.py'), unlabelled=True, transductive=True),
    }
    benchmark = SegmentationBenchmark(
        read_segmentation_protocol(plan(folder, methods=methods, baseline=None)), tmp_path
    )
    made = [(c.method, c.ratio) for c in benchmark.runs]
    assert made == [('semi', 0.5), ('trans (transductive)', 0.5), ('trans (transductive)', 1.0)]
    assert benchmark.left_out == ['semi: no image is left without its mask at 100%']
    assert benchmark.runs[1].config.train_dataloader.dataset.transductive == ['test']
    assert any('Transductive: the test images are trained on' in n for n in benchmark.notes())


def test_no_test_image_and_no_patient_trains(folder, tmp_path):
    data = tmp_path / 'data'
    write_pairs(data, 5)
    options = dict(data=dict(data_root=str(data), classes=['stroma', 'gland'], test='test'))

    def made(**more):
        options['data'].update(more)
        return SegmentationBenchmark(
            read_segmentation_protocol(plan(folder, **options)), tmp_path / 'out'
        )

    made()
    manifest = data / 'manifest.csv'
    text = manifest.read_text()
    # A patient of a training image tests.
    manifest.write_text(text.replace('p0', 'p4'))
    with pytest.raises(ProtocolError, match='patients of 1 of 4 test images'):
        made()
    assert 'NOT BY PATIENT: 1 of 4 test images' in made(shared_groups='warn').notes()[1]
    # A copy of a training image, under another name.
    manifest.write_text(text)
    (data / 'images' / 'testB_2.png').write_bytes((data / 'images' / 'train_4.png').read_bytes())
    with pytest.raises(ProtocolError, match='copies of them, are training images.*testB_2.png'):
        made(shared_groups='error')


def test_folds_by_patient(folder, tmp_path):
    data = dict(data_root=str(folder / 'data'), classes=['stroma', 'gland'], train='train')
    protocol = read_segmentation_protocol(
        plan(folder, data=data, folds=3, ratios=[1.0], seeds=[0], run_folds=[0, 2])
    )
    benchmark = SegmentationBenchmark(protocol, tmp_path)
    assert [d.fold for d in benchmark.divisions] == [0, 2]
    for division in benchmark.divisions:
        train, test = ({p.file for p in own} for own in (division.train_pairs, division.test_pairs))
        assert len(train) == 4 and len(test) == 2 and not train & test
        assert division.shared_groups == (0, 2)
        listed = Path(division.ann_file).read_text()
        assert listed.count(',test,') == 2 and listed.count(',train,') == 4
    assert len(benchmark.runs) == 4 and benchmark.runs[0].job == 'single/100percent/fold1/seed0'
    assert '3 folds' in benchmark.notes()[0]


def test_every_method_gets_the_same_number_of_updates(folder, tmp_path):
    config = Config.fromfile(folder / 'single.py')
    config.model = dict(
        type='PyramidGAN', num_classes=2, generator=GENERATOR, discriminator=DISCRIMINATOR,
        scales=[dict(size=8, batch_size=2, epochs=3)],
    )  # fmt: skip
    config.train_cfg = dict(type='ScaleTrainLoop')
    config.dump(tmp_path / 'epochs.py')
    config.model.scales[0] = dict(size=8, batch_size=2, iters=5)
    config.dump(tmp_path / 'steps.py')
    epochs = dict(config=str(tmp_path / 'epochs.py'))
    methods = {
        'labelled': epochs,
        'all': dict(epochs, unlabelled=True, full_config=epochs['config']),
        'trans': dict(epochs, unlabelled=True, transductive=True),
        'steps': dict(config=str(tmp_path / 'steps.py')),
    }
    protocol = read_segmentation_protocol(plan(folder, methods=methods, baseline=None))
    found = SegmentationBenchmark(protocol, tmp_path).runs
    images = {cell.config.train_cfg.get('epoch_images') for cell in found[:6]}
    tiles = TissueMaskDataset(**{
        **{k: v for k, v in found[1].config.train_dataloader.dataset.items() if k != 'type'},
        'pipeline': (),
    })  # fmt: skip
    assert images == {len(tiles)} and len(tiles.pairs) == 6
    assert [cell.ratio for cell in found[:6]] == [0.5, 1.0] * 3
    assert not any('epoch_images' in cell.config.train_cfg for cell in found[6:])


CONFIGS = sorted(
    path
    for pattern in ('segmentation_*.py', 'generation_*.py')
    for path in (REPO / 'configs' / 'benchmarks').glob(pattern)
)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_shipped_benchmarks_train_what_they_say(path, tmp_path):
    protocol = read_segmentation_protocol(path)
    own = Division(None, '/data/manifest.csv', 'train', protocol.test_splits, [], [])
    found, _ = segmenter_runs(protocol, [own], tmp_path)
    assert {cell.method for cell in found} == {method.shown for method in protocol.methods}
    for cell in found:
        method = next(m for m in protocol.methods if m.shown == cell.method)
        model, loader = cell.config.model, cell.config.train_dataloader
        assert model.num_classes == len(protocol.classes) == len(loader.dataset.metainfo.classes)
        scales = parse_scales(model.scales)
        # What the loader delivers is what the finest scale trains on, or the model makes smaller.
        seen = training_scale(cell.config) * loader.dataset.tile
        assert model.get('tile_size', scales[-1].size) == seen == (cell.size or seen)
        segments = model.get('segmenter') is not None
        assert segments == bool(protocol.metrics) and (segments or model.generator is not None)
        mixes = loader.sampler.type == 'LabelledBatchSampler'
        assert mixes == (method.unlabelled and (cell.ratio < 1 or method.transductive))
        uses = model.get('semi_supervised') or model.type == 'MeanTeacher'
        assert not mixes or uses  # or the unlabelled images would be looked at by nobody
        assert loader.dataset.labelled_only == (not method.unlabelled and cell.ratio < 1)


def made_results(**changes):
    """Results with known numbers: two seeds, two shares."""
    values = {
        ('single', 0.2): (0.4, 0.6), ('single', 1.0): (0.7, 0.7), ('pyramid', 0.2): (0.6, 0.6),
        ('pyramid', 1.0): (0.8, 0.8), ('ours', 0.2): (0.9, 0.9), ('ours', 1.0): (0.6, None),
    }  # fmt: skip
    trained = []
    for (method, ratio), own in values.items():
        for seed, value in enumerate(own):
            one = Trained(method, ratio, seed, message='out of memory', **changes)
            if value is not None:
                whole = dict(mIoU=value, object_hausdorff=100 * value, object_dice=value / 2)
                whole.update({'J/stroma': value, 'J/gland': float('nan'), 'object_f1': 1.0})
                one.scores = dict(A={**whole, 'object_dice': 0.25}, together=whole)
            trained.append(one)
    return SegmentationResults(
        trained, 'title', ['note'], (0.2, 1.0), (64,), ('stroma', 'gland'), '2 seeds'
    )


def test_tables_by_hand():
    results = made_results()
    table = ratio_table(results, 'mIoU')
    assert table.rows[0]['0.2'] == (pytest.approx(0.5), pytest.approx(np.sqrt(0.02)))
    assert table.rows[2]['1'] == (0.6, None)
    assert table.rows[2]['1_why'] == '1 of 2 trainings are not done: out of memory'
    text = markdown_table(table)
    # Not bold: the single scale may have been as good with other seeds (p = .16).
    assert '| ours | 0.900 ± 0.000 | 0.600<sup>1</sup> |' in text and 'Nothing is bold' in text
    assert 'over 2 seeds' in text and 'note' in text
    distances = ratio_table(results, 'object_hausdorff')
    assert '| single | 50.0 ± 14.1 |' in markdown_table(distances)
    for one, value in zip(results.of('single', 0.2), (0.59, 0.61), strict=True):
        one.scores['together'].update(mIoU=value, object_hausdorff=value)
    text = markdown_table(ratio_table(results, 'mIoU'))
    assert '| ours | **0.900 ± 0.000** |' in text and "Welch's test over 2 seeds" in text
    distances = markdown_table(ratio_table(results, 'object_hausdorff'))
    assert '| single | **0.6 ± 0.0** |' in distances  # smaller is better
    parts = parts_table(results, 0.2)
    assert parts.rows[0]['object_dice/A'] == (0.25, 0.0)
    assert parts.rows[0]['object_dice/all'][0] == pytest.approx(0.25)
    assert [c.key for c in parts.columns][:3] == ['method', 'object_dice/all', 'object_dice/A']
    classes = per_class_table(results, 1.0)
    assert classes.rows[1]['J/stroma'][0] == 0.8 and classes.rows[1]['J/gland'] is None
    sizes = size_table(made_results(size=64), 'mIoU', 0.2)
    assert sizes.rows[1]['64'][0] == pytest.approx(0.6)


def test_published_numbers_stand_below_ours_and_say_whose_they_are():
    published = dict(
        source='Somebody 2020, Table 1',
        tables=dict(mIoU={'theirs': {'0.2': 0.99, '1': (0.5, 0.1)}, 'elsewhere': {'0.4': 0.7}}),
    )
    text = markdown_table(with_published(ratio_table(made_results(), 'mIoU'), published, 'mIoU'))
    assert '| theirs, published | 0.990 | 0.500 ± 0.100 |' in text and 'elsewhere' not in text
    assert '| ours | 0.900 ± 0.000 |' in text
    assert 'Published: copied from Somebody 2020, Table 1; not trained or scored here' in text
    other = markdown_table(with_published(ratio_table(made_results(), 'mIoU'), published, 'ECE'))
    assert 'ublished' not in other


def test_the_papers_numbers_fit_the_tables():
    """Every published number has a column where the benchmark runs as shipped."""
    for name, tables in (
        ('segmentation_glas', {'glas_metrics', 'mIoU', 'object_dice', 'object_f1'}),
        ('segmentation_glas_types', {'mIoU'}),
        ('segmentation_prostate', {'pixel_scores', 'mIoU'}),
    ):
        protocol = read_segmentation_protocol(REPO / 'configs' / 'benchmarks' / f'{name}.py')
        results = SegmentationResults([], '', [], protocol.ratios, (), protocol.classes, methods=[])
        assert tables <= set(protocol.published['tables'])
        for key, rows in protocol.published['tables'].items():
            columns = {f'{ratio:g}' for ratio in (0.2, 0.4, 0.6, 0.8, 1)}
            if key == 'glas_metrics':
                parts = ('all', *protocol.parts)
                found = {f'{m}/{p}' for m in ('object_dice', 'object_f1', 'object_hausdorff')
                         for p in parts}  # fmt: skip
                columns = found
            elif key == 'pixel_scores':
                columns = {column.key for column in per_class_table(results, 1.0).columns}
            assert {c for cells in rows.values() for c in cells} <= columns, (name, key)


def test_improvements_are_shares_of_the_whole_way(tmp_path):
    shares = normalised_improvements(made_results(), 'mIoU', ('single', 'pyramid', 'ours'))
    assert shares[0.2] == (pytest.approx(0.25), pytest.approx(0.75))
    assert shares[1.0] is None  # the full method is not better there
    distances = normalised_improvements(
        made_results(), 'object_hausdorff', ('single', 'pyramid', 'ours')
    )
    assert distances[0.2] is None and sum(distances[1.0]) == pytest.approx(1)
    path = draw_improvements(tmp_path / 'a.png', shares, ('single', 'pyramid', 'ours'), 'title')
    curves = {'mIoU': {'single': {0.2: [0.4, 0.6], 1.0: [0.7]}, 'ours': {}}}
    draw_score_curves(tmp_path / 'b.png', curves, 'title', 'share', percent=True)
    assert path.read_bytes()[:4] == (tmp_path / 'b.png').read_bytes()[:4] == b'\x89PNG'
    # Six metrics stand in two rows: one row of six would be too small to read on a page.
    many = {f'metric {number}': curves['mIoU'] for number in range(6)}
    draw_score_curves(tmp_path / 'c.png', many, 'title', 'share', percent=True)
    height, width, _ = load_image(str(tmp_path / 'c.png')).shape
    assert width < 2 * height


def test_metrics_of_one_share_stand_side_by_side_on_the_page():
    def table(title, keys, better):
        columns = [Column('method', 'method'), *(Column(k, f'{k} %', better=better) for k in keys)]
        rows = [
            {'method': 'single', **{k: (0.5, 0.1) for k in keys}},
            {'method': 'ours', **{k: None for k in keys}, f'{keys[0]}_why': f'{title} failed'},
        ]
        rows[0]['not_best'] = [keys[0]]
        return ReportTable(f'{title}: glands', columns, rows)

    one = {'mIoU': table('mIoU', ['20'], 'higher'), 'ECE': table('calibration', ['20'], 'lower')}
    (joint,) = joined(one)
    assert joint.title == 'Scores at 20 %: glands'
    assert [(c.key, c.title, c.better) for c in joint.columns[1:]] == [
        ('mIoU', 'mIoU', 'higher'), ('ECE', 'calibration', 'lower')
    ]  # fmt: skip
    single, ours = joint.rows
    assert single == dict(
        method='single', mIoU=(0.5, 0.1), ECE=(0.5, 0.1), not_best=['mIoU', 'ECE']
    )
    assert ours['mIoU_why'] == 'mIoU failed' and ours['ECE_why'] == 'calibration failed'
    assert '20' not in ours and '20_why' not in ours
    several = {name: table(name, ['20', '50'], 'higher') for name in ('mIoU', 'ECE')}
    assert joined(several) == list(several.values())


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(metric=['mIoU']), 'metric is no setting'),
        (dict(data=dict(data_root='x', classes=['a', 'b'])), 'name the test images'),
        (dict(data=dict(data_root='x', classes=['a', 'b'], test='t', tile=3)), 'tile is not known'),
        (dict(ratios=[0.2, 1.2]), 'above 0 and at most 1'),
        (dict(seeds=[1, 1]), 'different numbers'),
        (dict(metrics=['IoU']), "'IoU' is none of"),
        (dict(baseline=['single', 'x', 'semi']), "baseline names 'x'"),
        (dict(sizes=[64]), 'does not say what size 64 changes'),
        (dict(folds=5), 'name the test images'),
        (dict(methods={}), 'at least one method'),
    ],
)
def test_what_a_protocol_refuses(folder, changes, message):
    with pytest.raises(ProtocolError, match=message):
        read_segmentation_protocol(plan(folder, **{'baseline': None, **changes}))


def test_what_a_method_refuses(folder, tmp_path):
    def read(**method):
        return read_segmentation_protocol(plan(folder, methods=dict(x=method), baseline=None))

    with pytest.raises(ProtocolError, match='needs unlabelled=True'):
        read(config=str(folder / 'semi.py'), transductive=True)
    with pytest.raises(FileNotFoundError, match='nothing.py does not exist'):
        read(config=str(folder / 'nothing.py'))
    with pytest.raises(ProtocolError, match='unlabeled is not one of'):
        read(config=str(folder / 'semi.py'), unlabeled=True)
    config = training_config()
    config.train_dataloader.dataset.type = 'CellPatchDataset'
    config.dump(tmp_path / 'cells.py')
    with pytest.raises(ProtocolError, match="trains on 'CellPatchDataset'"):
        SegmentationBenchmark(read(config=str(tmp_path / 'cells.py')), tmp_path)
    with pytest.raises(ProtocolError, match="--only 'y'"):
        read_segmentation_protocol(plan(folder), only=['y'])


def test_a_job_killed_while_it_removed_its_checkpoints_is_finished_without_training(tmp_path):
    # The scores are written before a checkpoint is removed, and named as done after it.
    (tmp_path / 'job.json').write_text(json.dumps(dict(keep_weights=False)))
    (tmp_path / '.scores.json').write_text('{}')
    (tmp_path / 'iter_8.pth').write_bytes(b'')
    assert run_job(tmp_path / 'job.json') == tmp_path / 'scores.json'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['job.json', 'scores.json']
