"""How a study divides images and time, and the configs that it writes; nothing is trained."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.fold_plan import FoldError
from cellgan_plugin.benchmark.leak import LeakError
from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.comparison.plan_reading import read_comparison
from cellgan_plugin.datasets.data_folder import read_data_folder
from cellgan_plugin.datasets.manifest import read_manifest, write_manifest
from cellgan_plugin.errors import ConfigError, ProtocolError
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import open_config
from cellgan_plugin.runs.config_fit import check_fit
from cellgan_plugin.runs.provenance import training_groups_of, training_images_of
from cellgan_plugin.study.budget import ARMS, ROWS, SLACK, Plan, Speeds, make_plan
from cellgan_plugin.study.division import divide, write_folds
from cellgan_plugin.study.run_files import RunFiles
from cellgan_plugin.study.settings import StudySettings, folders_of, read_study, study_configs
from cellgan_plugin.study.study import check_given, size_of

CLASSES = ('red', 'green', 'blue')
FAST = Speeds(generators={'CellGAN': 0.1}, classifier=0.05, start=8.0)


def write_images(root, groups=12, splits=None):
    """Three classes, an image of each class in every group; ``splits`` by group where given."""
    rng, rows = np.random.default_rng(0), []
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for group in range(groups):
            file = f'{name}/{group}.png'
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / file)
            row = dict(file=file, label=name, group=f'slide {group}')
            rows.append(row if splits is None else dict(row, split=splits[group]))
    columns = ['file', 'label', 'group', *(['split'] if splits else [])]
    write_manifest(root / 'manifest.csv', rows, columns)
    return root


@pytest.fixture(scope='module')
def grouped(tmp_path_factory):
    """A manifest with groups and without splits, divided."""
    root = tmp_path_factory.mktemp('grouped')
    folder = read_data_folder(write_images(root / 'data'))
    return root, folder, divide(folder, root / 'study')


def test_a_split_is_made_by_group_and_the_same_again(grouped):
    root, folder, division = grouped
    rows = read_manifest(root / 'study/lists/images.csv')
    part_of = {}
    for row in rows:
        assert part_of.setdefault(row['group'], row['split']) == row['split'], 'a slide leaks'
    assert len(rows) == 36 and set(part_of.values()) == {'train', 'val', 'test'}
    assert all(count > 0 for part in division.counts.values() for count in part.values())
    assert division.held_out == 'val' and division.folds == 5
    assert 'by group' in division.notes[0]
    again = divide(folder, root / 'again')
    assert again.digest == division.digest and again.counts == division.counts


def test_the_split_of_a_manifest_stays(tmp_path):
    splits = ['train'] * 9 + ['test'] * 3
    folder = read_data_folder(write_images(tmp_path / 'data', splits=splits))
    division = divide(folder, tmp_path / 'study')
    assert division.counts['train'] == dict.fromkeys(CLASSES, 0) | dict(red=9, green=9, blue=9)
    assert division.held_out == 'test' and division.total('val') == 0
    assert 'the split of manifest.csv' in division.notes[0]
    # A file system may spell a name of the manifest in parts (a and an accent).
    (tmp_path / 'data/red/0.png').rename(tmp_path / 'data' / 'red' / 'a\u0301.png')
    rows = read_manifest(tmp_path / 'data/manifest.csv')
    rows[0]['file'] = 'red/\u00e1.png'
    write_manifest(tmp_path / 'data/manifest.csv', rows, list(rows[0]))
    spelt = divide(read_data_folder(tmp_path / 'data'), tmp_path / 'study')
    assert spelt.digest == division.digest
    # Other labels are another study.
    rows = read_manifest(tmp_path / 'data/manifest.csv')
    rows[0]['label'] = 'green'
    write_manifest(tmp_path / 'data/manifest.csv', rows, list(rows[0]))
    changed = divide(read_data_folder(tmp_path / 'data'), tmp_path / 'study')
    assert changed.digest != division.digest


def minutes_of(plan, *names):
    return sum(part.minutes for part in plan.parts if part.name in names)


def test_time_is_divided_and_no_more_is_planned_than_there_is(grouped):
    division = grouped[2]
    for hours in (0.3, 1, 4, 24):
        plan = make_plan(StudySettings(hours=hours), division, FAST, 2, spent=1.0)
        assert plan.total + 1 <= 60 * hours + 1e-6
        assert plan.iterations == dict(CellGAN=int(plan.minutes * 60 / 0.1))
        # The limits of the trainings, if all of them are reached, fit as well but for the slack.
        runs = 1 if plan.folds == 1 else 1 + -(-plan.folds // 2)
        limits = runs * plan.minutes * (SLACK - 1)
        assert plan.total + 1 + limits <= 60 * hours * SLACK
        assert Plan.from_dict(plan.to_dict()) == plan
    # In an hour a generator per fold would have less than five minutes with five folds or three.
    assert make_plan(StudySettings(hours=0.3), division, FAST, 2).folds == 1
    assert make_plan(StudySettings(hours=4), division, FAST, 2).folds == 5
    slow = replace(FAST, generators=dict(CellGAN=0.4))
    long = make_plan(StudySettings(hours=4, folds=3), division, FAST, 2)
    assert long.folds == 3
    slower = make_plan(StudySettings(hours=4, folds=3), division, slow, 2)
    assert long.iterations['CellGAN'] > 3 * slower.iterations['CellGAN']


def test_jobs_of_the_plan_are_those_of_the_benchmark(grouped):
    division = grouped[2]
    settings = StudySettings(generators=dict(A='a', B='b'), hours=4, folds=3, seeds=(0, 1))
    speeds = replace(FAST, generators=dict(A=0.1, B=0.2))
    plan = make_plan(settings, division, speeds, 2)
    jobs = {part.name: part.jobs for part in plan.parts}
    assert jobs['generators'] == 2 and jobs['generators per fold'] == 6
    assert jobs['classifiers'] == 3 * 2 * (ARMS + 2 * len(ROWS))
    text = plan.to_text(4)
    assert 'together' in text and 'A ' in text and '4 times, once per fold' in text


def test_rows_are_left_out_where_time_is_short(grouped, tmp_path):
    _, _, division = grouped
    slow = Speeds(generators={'CellGAN': 1.0}, classifier=0.3, start=40.0)
    settings = StudySettings(hours=0.15, folds=1)
    plan = make_plan(settings, division, slow, 2)
    assert plan.rows in (ROWS[:2], ROWS[:1]) and plan.total <= 1.25 * 9
    assert 'want of time: rows' in plan.to_text(0.15)
    RunFiles(settings, division, tmp_path, 64).write(plan)
    protocol = read_protocol(tmp_path / 'configs/benchmark.py')
    assert len(protocol.rows) == 1 + len(plan.rows)
    assert make_plan(settings, division, FAST, 2).rows == ROWS
    # Or asked for, in the order of the table.
    chosen = read_study(folds=1, rows=('first', 'added'))
    plan = make_plan(chosen, division, FAST, 2)
    assert plan.rows == ('added', 'first')
    assert next(p.jobs for p in plan.parts if p.name == 'classifiers') == ARMS + 2
    with pytest.raises(ConfigError, match="did you mean 'first'"):
        StudySettings(rows=('firts',))


def test_too_little_time_and_too_many_folds_are_refused(grouped, tmp_path):
    division = grouped[2]
    slow = replace(FAST, start=40.0)
    with pytest.raises(ProtocolError, match='--hours 0.05 is too little.*Give --hours'):
        make_plan(StudySettings(hours=0.05, seeds=(0, 1, 2)), division, slow, 1)
    with pytest.raises(ProtocolError, match='enough for 2 folds'):
        make_plan(StudySettings(folds=9), replace(division, folds=2), FAST, 1)
    assert make_plan(StudySettings(folds=9), division, FAST, 1).folds == 9
    with pytest.raises(FoldError, match='15 folds need .* at least 15 groups of each'):
        write_folds(division, 15, tmp_path)
    for wrong in (dict(hours=0), dict(folds=0), dict(ratio=0), dict(seeds=(1, 1)), dict(size=-1)):
        with pytest.raises(ProtocolError):
            StudySettings(**wrong)
    with pytest.raises(ConfigError, match="did you mean 'cellgan'"):
        read_study(generators=['celgan'])
    with pytest.raises(FileNotFoundError, match='gone.py'):
        read_study(generators=['Mine=gone.py'])
    with pytest.raises(ProtocolError, match=r'two stages.*benchmark.py.*NAME=DIR/fold\{fold\}'):
        read_study(generators=['ldm'])
    path = study_configs().parent / 'latent_diffusion/ldm_phantom.py'
    two = StudySettings(generators=dict(LDM=str(path)))
    with pytest.raises(ProtocolError, match='not a GAN that is.*docs/study.md'):
        RunFiles(two, division, Path('unused'), 64).generator('LDM', 1, None)


def test_images_that_are_there_are_a_generator(grouped, tmp_path):
    _, folder, division = grouped
    for number, name in enumerate(CLASSES):
        (tmp_path / 'made' / name).mkdir(parents=True)
        for index in range(12 + number):
            Image.new('RGB', (40, 40)).save(tmp_path / 'made' / name / f'{index}.png')
    settings = read_study(generators=[f'Mine={tmp_path / "made"}'], folds=3)
    assert settings.trained == {} and settings.given['Mine'] == dict(folder=str(tmp_path / 'made'))
    speeds = replace(FAST, generators={})
    plan = make_plan(replace(settings, iterations=1), division, speeds, 2)
    assert plan.iterations == {} and 'generators per fold' not in [p.name for p in plan.parts]
    files = RunFiles(settings, division, tmp_path / 'out', 64)
    files.write(plan)
    assert not files.compares and not (files.folder / 'comparison.py').exists()
    protocol = read_protocol(files.folder / 'benchmark.py')
    assert protocol.generators[0].folder == str(tmp_path / 'made')
    # 12 images for 12 real ones: all are added, and a quarter can be chosen (4 r N candidates).
    found = {row.name: (row.ratio, row.pool) for row in protocol.rows if row.generator}
    assert found['Mine'] == (1.0, 1.0) and found['Mine, selected'] == (0.25, 1.0)
    with pytest.raises(ProtocolError, match="no image of class 'blue'"):
        (tmp_path / 'made/blue').rename(tmp_path / 'blue')
        files.write(plan)
    with pytest.raises(ConfigError, match="did you mean 'trained_on'"):
        StudySettings(generators=dict(Mine=dict(folder='x', trained='y')))


def test_images_for_every_fold_of_generators_that_were_trained_elsewhere(grouped, tmp_path):
    _, folder, division = grouped
    write_folds(division, 3, tmp_path)
    for fold in (1, 2, 3):
        lists = tmp_path / f'lists/fold{fold}'
        rows = {part: read_manifest(lists / f'{part}.csv') for part in ('train', 'test')}
        groups = {part: {row['group'] for row in own} for part, own in rows.items()}
        assert len(rows['train']) + len(rows['test']) == 36 and not groups['train'] & groups['test']
        # Contents and groups: who trains on these has seen no other.
        assert len(training_images_of(lists)) == len(rows['train'])
        assert len(training_groups_of(lists)) == len(groups['train'])
        for row in rows['train']:
            target = tmp_path / f'made/fold{fold}' / row['file']
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder.root) / row['file'], target)
        if fold > 1:
            shutil.copy(lists / 'training_images.txt', tmp_path / f'made/fold{fold}')
    made = str(tmp_path / 'made/fold{fold}')
    settings = read_study(generators=[f'Mine={made}'])
    assert settings.folds == 3 and settings.given['Mine'] == dict(folder=made)
    assert [path.name for path in folders_of(settings.given['Mine'])] == ['fold1', 'fold2', 'fold3']
    with pytest.raises(ProtocolError, match='folds 5, Mine 3'):
        read_study(generators=[f'Mine={made}'], folds=5)
    with pytest.raises(FileNotFoundError, match='gone/1'):
        read_study(generators=['Mine=gone/{fold}'])

    files = RunFiles(settings, division, tmp_path, 64)
    files.write(make_plan(settings, division, replace(FAST, generators={}), 2))
    protocol = read_protocol(files.folder / 'benchmark.py')
    assert protocol.generators[0].folder == made and protocol.num_folds == 3
    # Eight of every class in every fold, as many as train there.
    assert {row.name: row.ratio for row in protocol.rows}['Mine'] == 1.0
    # Of one it is not known what trained it.
    with pytest.raises(LeakError, match='Mine does not say which images'):
        check_given(files)
    shutil.copy(tmp_path / 'lists/fold1/training_images.txt', tmp_path / 'made/fold1')
    check_given(files)
    assert all(report.clean for report in Benchmark(protocol, tmp_path / 'out').reports)
    # A config finds them beside itself.
    (tmp_path / 'study.py').write_text(
        "generators = dict(Mine=dict(folder='made/fold{fold}', trained_on='lists/fold{fold}'))\n"
    )
    read = read_study(tmp_path / 'study.py').given['Mine']
    assert read == dict(folder=made, trained_on=str(tmp_path / 'lists/fold{fold}'))
    # One split is a fold, too.
    write_folds(division, 1, tmp_path / 'one')
    rows = read_manifest(tmp_path / 'one/lists/fold1/train.csv')
    assert len(rows) == division.total('train')


def test_a_config_of_a_study(tmp_path):
    (tmp_path / 'mine.py').write_text('model = dict()\n')
    path = tmp_path / 'study.py'
    path.write_text("generators = dict(Mine='mine.py')\nhours = 2\nseeds = [0, 1]\n")
    settings = read_study(path, hours=3.0)
    assert settings.generators == dict(Mine=str(tmp_path / 'mine.py'))
    assert (settings.hours, settings.seeds, settings.ratio) == (3.0, (0, 1), 1.0)
    path.write_text("generators = ['cellgan', 'biggan']\n")
    assert list(read_study(path).generators) == ['CellGAN', 'BigGAN']
    path.write_text('hour = 2\n')
    with pytest.raises(ProtocolError, match="did you mean 'hours'"):
        read_study(path)


@pytest.mark.parametrize('folds', [1, 3])
def test_the_configs_are_whole_and_are_read_by_the_tools(grouped, tmp_path, folds):
    _, folder, division = grouped
    settings = read_study(generators=['cellgan', 'biggan', 'sngan_proj'], folds=folds)
    assert size_of(settings, folder) == 64, 'BigGAN and SNGAN make 64 px'
    assert size_of(StudySettings(size=32), folder) == 32
    with pytest.raises(ProtocolError, match='BigGAN 64'):
        size_of(replace(settings, size=32), folder)
    files = RunFiles(settings, division, tmp_path, 64)
    speeds = replace(FAST, generators=dict.fromkeys(settings.generators, 0.1))
    plan = make_plan(settings, division, speeds, 2)
    files.write(plan)
    for name in settings.generators:
        run = open_config(files.generator_file(name))
        check_config(run)
        check_fit(run)
        dataset = run.train_dataloader.dataset
        assert (run.model.num_classes, dataset.metainfo.classes) == (3, ['blue', 'green', 'red'])
        assert dataset.split == 'train' and dataset.ann_file == division.folder.ann_file
        assert run.train_cfg.max_iters == plan.iterations[name]
        assert run.custom_hooks[-1] == dict(type='TimeBudgetHook', minutes=plan.minutes * SLACK)
        assert not [key for key in run if key.startswith('val_')]
        kinds = [RunFiles(replace(settings, amp=amp), division, tmp_path, 64)
                 .generator(name, 9, None).optim_wrapper.generator.get('type')
                 for amp in (False, True)]  # fmt: skip
        assert kinds[0] in (None, 'OptimWrapper')
        assert kinds[1] in ('AmpOptimWrapper', 'BFloat16OptimWrapper')
    decay = open_config(files.generator_file('CellGAN')).param_scheduler[0]
    assert decay.end == plan.iterations['CellGAN'] and decay.begin == round(decay.end * 0.6)
    classifier = open_config(files.classifier_file)
    check_config(classifier)
    assert classifier.model.head.num_classes == 3
    assert classifier.val_dataloader.dataset.split == 'val'
    protocol = read_protocol(tmp_path / 'configs/benchmark.py')
    assert protocol.classes == folder.classes and protocol.num_folds == folds
    assert (protocol.fixed_splits, protocol.train_generators) == (folds == 1, folds > 1)
    uses = [(row.use, row.rule) for row in protocol.rows if row.generator == 'CellGAN']
    assert uses == [('added', 'none'), ('added', 'selective'), ('alone', 'none'), ('first', 'none')]
    assert len(protocol.rows) == 1 + 3 * 4
    comparison = read_comparison(tmp_path / 'configs/comparison.py')
    assert comparison.classes == folder.classes
    evaluation = comparison.evaluation_config()
    assert evaluation.val_dataloader.dataset.split == 'val'
    metric = evaluation.val_evaluator.metrics[0]
    assert metric.memorisation.training.split == 'train'
    assert Path(metric.extractor.checkpoint) == tmp_path / 'classifier'
    stage = comparison.stage_config(comparison.models[0], 0, 0)
    assert stage.train_cfg.max_iters == plan.iterations['CellGAN']
