"""Comparisons: reading the plan, what is done again and why, mistakes, and the table."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from scipy import stats

from cellgan_plugin.comparison import checks, figure, parts, report
from cellgan_plugin.comparison import compare as module
from cellgan_plugin.comparison.grey_frames import grey_frames
from cellgan_plugin.comparison.plan_reading import make_comparison, parse_models, read_comparison
from cellgan_plugin.comparison.progress import progress_of
from cellgan_plugin.comparison.results import ComparisonResults
from cellgan_plugin.engine.training_cost import TrainingCost
from cellgan_plugin.jobs.outcome import JobResult
from cellgan_plugin.records import differences, digest_of
from cellgan_plugin.visualization.noise import (
    Noise,
    differ,
    differ_by_noise,
    mark_undecided,
    noise_of_intervals,
    noise_of_trainings,
)
from cellgan_plugin.visualization.report_tables import Column, markdown_table

REPO = Path(__file__).resolve().parents[2]
CONFIGS = REPO / 'configs'
PHANTOM = str(CONFIGS / 'cellgan_phantom.py')
EVALUATION = str(CONFIGS / '_base_' / 'evaluation' / 'phantom_fd.py')
CLASSES = ['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']


def plan_of(*models, **values):
    models = models or (dict(name='CellGAN', config=PHANTOM),)
    values = dict(models=list(models), evaluation=EVALUATION, **values)
    return make_comparison(values, 'test', None)


def lay_out(plan, out, **facts):
    return parts.lay_out(plan, out, checks.read_evaluation(plan), facts)


# The plan ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('config', sorted((CONFIGS / 'comparisons').glob('*.py')), ids=str)
def test_the_comparisons_of_the_repository_read(config, tmp_path):
    plan = read_comparison(config)
    evaluation = checks.read_evaluation(plan)
    checks.check_classes(plan, checks.evaluation_classes(evaluation))
    found = parts.lay_out(plan, tmp_path, evaluation, {})
    assert [part.model for part in found] == [model.name for model in plan.models]


def test_the_ablations_differ_in_what_their_ticks_say():
    plan = read_comparison(CONFIGS / 'comparisons' / 'cellgan_table2_phantom.py')
    for model in plan.models:
        config = plan.stage_config(model, 0, 0).model
        assert model.settings == {
            '(a) PatchGAN': config.discriminator.head == 'patch',
            '(b) class mapping': config.generator.mapping_depth > 0,
            '(c) SGC': config.generator.skip_type == 'sgc',
        }


def test_models_that_name_no_config_have_that_of_the_comparison():
    other = str(CONFIGS / 'cellgan_cric_64.py')
    stages = dict(name='C', stages=[dict(config=other)])
    plan = plan_of(dict(name='A'), dict(name='B', config=other), stages, config=PHANTOM)
    assert [str(m.stages[0].config) for m in plan.models] == [PHANTOM, other, other]


def test_the_budget_is_split_over_the_stages():
    stages = [
        dict(config=PHANTOM, name='a', share=0.25),
        dict(config=PHANTOM, name='b', share=0.75),
    ]
    model = dict(name='Two', stages=stages)
    minutes = plan_of(model, budget=dict(minutes=8))
    (two,) = minutes.models
    assert [minutes.time_of(stage) for stage in two.stages] == [('minutes', 2), ('minutes', 6)]
    assert minutes.stage_config(two, 0, 0).train_cfg.max_iters == 10_000_000
    iterations = plan_of(model, budget=dict(iterations=400))
    assert [iterations.stage_config(two, i, 0).train_cfg.max_iters for i in (0, 1)] == [100, 300]
    as_it_says = plan_of(model)
    own = Config.fromfile(PHANTOM).train_cfg.max_iters
    assert as_it_says.stage_config(two, 0, 0).train_cfg.max_iters == own


def test_options_seed_and_earlier_checkpoints_reach_the_config():
    options = {'model.autoencoder_checkpoint': '{stage0}', '_notes.b': ['{stage0}', 1]}
    latent = CONFIGS / 'latent_diffusion' / 'ldm_phantom.py'
    stages = [dict(config=PHANTOM, name='first'), dict(config=latent, name='x', options=options)]
    plan = plan_of(dict(name='M', stages=stages), options={'train_dataloader.batch_size': 3})
    config = plan.stage_config(plan.models[0], 1, 7, ['out/final.pth'])
    assert config.model.autoencoder_checkpoint == 'out/final.pth'
    assert config._notes.b == ['out/final.pth', 1]
    assert config.train_dataloader.batch_size == 3 and config.randomness.seed == 7


def test_paths_of_an_inherited_comparison_are_relative_to_the_file_that_says_them(tmp_path):
    config = CONFIGS / 'comparisons' / 'cellgan_table1_phantom.py'
    child = tmp_path / 'elsewhere' / 'mine.py'
    child.parent.mkdir()
    (child.parent / 'own.py').write_text('model = dict()')
    child.write_text(f"_base_ = '{config}'\ntitle = 'Mine'\n")
    inherited, original = read_comparison(child), read_comparison(config)
    assert inherited.title == 'Mine' and inherited.evaluation.samefile(original.evaluation)
    for one, other in zip(inherited.models, original.models, strict=True):
        assert all(
            a.config.samefile(b.config) for a, b in zip(one.stages, other.stages, strict=True)
        )
    child.write_text(f"_base_ = '{config}'\nevaluation = 'own.py'\n")
    assert read_comparison(child).evaluation == child.parent / 'own.py'
    child.write_text(f"_base_ = '{config}'\nevaluation = 'gone.py'\n")
    with pytest.raises(FileNotFoundError, match='gone.py'):
        read_comparison(child)
    torch.save(dict(), child.parent / 'iter_1.pth')
    child.write_text(
        f"_base_ = '{config}'\n"
        "models = [dict(name='A', config='own.py', checkpoint='iter_1.pth')]\n"
    )
    assert read_comparison(child).models[0].stages[0].checkpoint == child.parent / 'iter_1.pth'


def test_command_line_values_take_the_place_of_the_configs():
    config = CONFIGS / 'comparisons' / 'cellgan_table1_phantom.py'
    overrides = dict(budget=dict(iterations=5), figure=dict(real=False), seeds=[0, 1])
    plan = read_comparison(config, overrides)
    assert (plan.minutes, plan.iterations, plan.seeds) == (None, 5, (0, 1))
    assert not plan.figure.real and plan.name == 'cellgan_table1_phantom'
    words = [f'CellGAN={PHANTOM}', 'Big GAN=configs/a.py:work_dirs/run:1/iter_1.pth']
    assert parse_models(words) == [
        dict(name='CellGAN', config=PHANTOM),
        dict(name='Big GAN', config='configs/a.py', checkpoint='work_dirs/run:1/iter_1.pth'),
    ]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(models=[]), 'comparison test has no models'),
        (dict(evaluation=None), 'comparison test has no evaluation'),
        (dict(seed=1), 'comparison test.seed: there is no such option'),
        (dict(models=[dict(config=PHANTOM)]), 'each is a dict with a name'),
        (dict(models=[dict(name='A')]), "model 'A' needs either config"),
        (dict(models=[dict(name='A', stages=[])]), "model 'A' has no stage"),
        (
            dict(models=[dict(name='A', config=PHANTOM), dict(name='a', config=PHANTOM)]),
            "two models would have the folder of 'A'",
        ),
        (
            dict(models=[dict(name='A', config=PHANTOM, setting=dict(x=True))]),
            "model 'A'.setting: there is no such option",
        ),
        (
            dict(models=[dict(name='A', config=PHANTOM, settings=dict(x='yes'))]),
            'settings are True or False',
        ),
        (
            dict(models=[dict(name='A', stages=[dict(config=PHANTOM)] * 2)]),
            "two stages are named 'cellgan_phantom'",
        ),
        (
            dict(
                models=[
                    dict(
                        name='A',
                        stages=[
                            dict(config=PHANTOM, name='x', share=0.5),
                            dict(config=PHANTOM, name='y', share=0.2),
                        ],
                    )
                ]
            ),
            'add up to 0.7, expected 1',
        ),
        (
            dict(budget=dict(minutes=1, iterations=1)),
            'budget: one of minutes, cpu_minutes',
        ),
        (dict(budget=dict(cpu_minutes=-1)), 'budget must be positive'),
        (dict(budget=dict(minutes=0)), 'budget must be positive'),
        (dict(budget=dict(hours=1)), 'budget.hours: there is no such option'),
        (dict(seeds=[]), 'seeds: different whole numbers'),
        (dict(seeds=[1, 1]), 'seeds: different whole numbers'),
        (dict(samples_per_class='all'), 'samples_per_class: a positive number'),
        (dict(figure=dict(samples_per_class=0)), 'figure.samples_per_class must be 1 or more'),
    ],
)
def test_mistakes_in_a_plan_are_named(change, message):
    values = dict(models=[dict(name='A', config=PHANTOM)], evaluation=EVALUATION)
    with pytest.raises(ValueError, match=message):
        make_comparison({**values, **change}, 'test', None)


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="model 'A': config nowhere.py does not exist"):
        plan_of(dict(name='A', config='nowhere.py'))
    with pytest.raises(FileNotFoundError, match="model 'A': checkpoint nowhere.pth does not exist"):
        plan_of(dict(name='A', config=PHANTOM, checkpoint='nowhere.pth'))
    with pytest.raises(FileNotFoundError, match='has no checkpoint: train first'):
        plan_of(dict(name='A', config=PHANTOM, checkpoint=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match='comparison x.py does not exist'):
        read_comparison('x.py')
    with pytest.raises(ValueError, match='expected NAME=CONFIG.py or NAME=CONFIG.py:CKPT'):
        parse_models(['CellGAN'])


# What is done again -----------------------------------------------------------------------------


def test_settings_are_flat_and_their_differences_named():
    before = parts.flat(dict(a=dict(b=[1, (2.5, None)]), c='x', d={}, e=slice(1)))
    assert before == {
        'a.b.0': 1, 'a.b.1.0': 2.5, 'a.b.1.1': None, 'c': 'x', 'd': '{}',
        'e': 'slice(None, 1, None)',
    }  # fmt: skip
    now = {**before, 'c': 'y', 'f': 1}
    del now['d']
    lines = differences(before, now)
    assert lines == ['c: "x" there, "y" now', 'd: only there', 'f: only now']
    assert parts.said_briefly(lines, most=1) == 'c: "x" there, "y" now and 2 more'
    assert parts.said_briefly(differences(before, dict(before))) == ''
    assert digest_of(before) == digest_of(dict(reversed(before.items())))


def finish_training(training, iterations=40, **cost):
    """Leave behind what a complete training leaves."""
    training.prepare()
    cost = TrainingCost(seconds=7200, iterations=iterations, images=14400, device='D', **cost)
    training.checkpoint.write_bytes(training.job.encode())
    record = dict(checkpoint=str(training.checkpoint), iterations=iterations, cost=cost.as_dict())
    parts.write_json(training.folder / parts.TRAINED, record)


def finish(part, values=None, iteration=40, name='FID', notes=(), cost=None):
    """Leave behind what an evaluated model leaves; ``values``: one per class, then the mean."""
    for training in part.trainings:
        finish_training(training)
    part.prepare()
    values = values or [10.0, 20.0, 30.0, 40.0, 50.0, 30.0]
    rows = [
        dict(row=row, real=9, fake=8, values={name: v} if v is not None else {}, notes=list(notes))
        for row, v in zip([*CLASSES, 'mean'], values, strict=True)
    ]
    status = part.checkpoint.stat()
    checkpoint = dict(
        path=str(part.checkpoint),
        sha256=parts.file_sha256(part.checkpoint),
        stamp=[status.st_size, status.st_mtime_ns],
        iteration=iteration,
    )
    record = dict(
        settings=dict(evaluation=part.evaluation, samples=part.samples),
        checkpoint=checkpoint,
        reports=[dict(protocol=dict(extractor=dict(name='net')), rows=rows)],
        samples=dict(images_per_second=12.5, batch_size=32, device='D'),
        parameters=dict(generator=1_500_000, trained=4_000_000),
        cost=cost,
    )
    parts.write_json(part.folder / parts.EVALUATED, record)
    images = np.full((5, 4, 8, 8, 3), part.seed, np.uint8)
    np.savez(part.folder / 'samples.npz', images=images)


def test_a_finished_part_holds_until_something_that_it_depends_on_changes(tmp_path):
    plan = plan_of()
    (part,) = lay_out(plan, tmp_path, real='set 1')
    assert part.stale() == 'not done yet' and part.result is None
    finish(part)
    assert part.stale() is None and part.prepare() == ''
    (again,) = lay_out(plan, tmp_path, real='set 1')
    assert again.stale() is None and again.trainings[0].prepare() == ''

    # Another picture, other real images, another evaluation: sampled or evaluated again.
    (other,) = lay_out(plan_of(figure=dict(samples_per_class=2)), tmp_path, real='set 1')
    assert other.stale() == 'samples.samples_per_class: 4 there, 2 now'
    (other,) = lay_out(plan, tmp_path, real='set 2')
    assert other.stale() == 'evaluation.real: "set 1" there, "set 2" now'
    (other,) = lay_out(plan_of(samples_per_class=5), tmp_path, real='set 1')
    assert 'val_evaluator.metrics.0.fake_nums: "match" there, 5 now' in other.stale()
    assert other.trainings[0].prepare() == ''  # nothing to do with the training
    assert other.prepare().startswith('evaluate CellGAN, seed 0: again, evaluation.val_evaluator')
    assert not (part.folder / parts.EVALUATED).exists()


def test_weights_that_were_replaced_are_noticed(tmp_path):
    (part,) = lay_out(plan_of(), tmp_path)
    finish(part)
    content = part.checkpoint.read_bytes()
    part.checkpoint.write_bytes(content)  # touched only
    assert part.stale() is None
    part.checkpoint.write_bytes(b'another')
    assert part.stale() == f'{part.checkpoint} is another file'
    part.checkpoint.unlink()
    assert part.stale() == f'{part.checkpoint} is gone'
    assert part.trainings[0].report is None
    assert part.trainings[0].prepare() == (
        f'train CellGAN, seed 0: trained on, {part.checkpoint} is gone'
    )
    assert not (part.trainings[0].folder / parts.TRAINED).exists()


def test_a_changed_config_is_trained_again_and_the_former_run_kept(tmp_path):
    (part,) = lay_out(plan_of(), tmp_path)
    finish(part)
    changed = dict(name='CellGAN', config=PHANTOM, options={'model.generator.base_channels': 8})
    (other,) = lay_out(plan_of(changed), tmp_path)
    said = other.trainings[0].prepare()
    assert said.startswith(
        'train CellGAN, seed 0: trained again, model.generator.base_channels: 4 there, 8 now; '
        'the former one is kept in '
    )
    (former,) = (tmp_path / 'CellGAN' / 'former').iterdir()
    assert former.name.endswith('_seed_0_training') and (former / 'final.pth').is_file()
    assert not other.checkpoint.exists()
    assert other.prepare() == 'evaluate CellGAN, seed 0: again, the weights are others'
    config = Config.fromfile(other.trainings[0].config_file)
    assert config.model.generator.base_channels == 8

    # Another budget is another run, too.
    (longer,) = lay_out(plan_of(changed, budget=dict(minutes=3)), tmp_path)
    assert 'budget.minutes: null there, 3.0 now' in longer.trainings[0].prepare()
    (other_clock,) = lay_out(plan_of(changed, budget=dict(cpu_minutes=3)), tmp_path)
    said = other_clock.trainings[0].prepare()
    assert 'budget.minutes: 3.0 there, null now; budget.cpu_minutes: only now' in said


def test_what_does_not_change_the_weights_is_not_trained_again(tmp_path):
    latent = str(CONFIGS / 'latent_diffusion' / 'ldm_phantom.py')
    (part,) = lay_out(plan_of(dict(name='LDM', config=latent)), tmp_path)
    finish(part)
    options = {
        'default_hooks.checkpoint.interval': 7,
        'log_processor.window_size': 7,
        'model.sampling.num_inference_steps': 7,
        'val_dataloader': dict(batch_size=7),
    }
    changed = dict(name='LDM', config=latent, options=options)
    (other,) = lay_out(plan_of(changed), tmp_path)
    assert other.trainings[0].prepare() == '' and other.trainings[0].report is not None
    assert other.stale().startswith('evaluation.model.sampling.num_inference_steps: ')


def test_a_later_stage_depends_on_the_earlier_one(tmp_path):
    def model(**options):
        second = dict(config=PHANTOM, name='second', options={'load_from': '{stage0}'})
        return dict(name='M', stages=[dict(config=PHANTOM, name='first', options=options), second])

    (part,) = lay_out(plan_of(model()), tmp_path)
    first, second = part.trainings
    assert second.needs == (first.job,) and part.as_job().needs == (first.job, second.job)
    assert second.config.load_from == str(first.checkpoint)
    (moved,) = lay_out(plan_of(model()), tmp_path / 'elsewhere')
    assert moved.trainings[1].settings == second.settings  # the place does not matter
    (other,) = lay_out(plan_of(model(**{'model.generator.base_channels': 8})), tmp_path)
    (line,) = differences(second.settings, other.trainings[1].settings)
    assert line.startswith('stage0: ')


def test_the_commands_of_the_jobs(tmp_path):
    plan = plan_of(budget=dict(minutes=0.5), amp=True, seeds=[3])
    (part,) = lay_out(plan, tmp_path)
    job = part.trainings[0].as_job()
    folder = tmp_path / 'CellGAN' / 'seed_3' / 'training'
    assert job.command[1:] == (
        '-m', 'cellgan_plugin.runs.train', f'{folder}.py', '--work-dir', str(folder),
        '--report', str(folder / 'training.json'), '--resume', '--minutes', '0.5', '--amp',
    )  # fmt: skip
    assert job.done_file == folder / 'training.json' and job.work_dir == folder
    (part,) = lay_out(plan_of(budget=dict(cpu_minutes=2)), tmp_path)
    assert part.trainings[0].as_job().command[-2:] == ('--cpu-minutes', '2.0')


# Mistakes ---------------------------------------------------------------------------------------


def test_class_lists_must_agree(tmp_path):
    turned = CLASSES[::-1]
    options = {'train_dataloader.dataset.metainfo.classes': turned}
    with pytest.raises(ValueError) as error:
        checks.check_classes(plan_of(dict(name='A', config=PHANTOM, options=options)), CLASSES)
    message = str(error.value)
    assert str(turned) in message and str(CLASSES) in message and "model 'A'" in message

    path = tmp_path / 'a.pth'
    meta = dict(dataset_meta=dict(classes=['NILM', 'HSIL']))
    torch.save(dict(meta=meta, state_dict={}), path)
    plan = plan_of(dict(name='A', config=PHANTOM, checkpoint=str(path)))
    with pytest.raises(ValueError, match=r"trained with the classes \['NILM', 'HSIL'\].*ASC-US"):
        checks.check_classes(plan, CLASSES)
    with pytest.raises(ValueError, match='names no classes'):
        checks.check_classes(plan, ())


def test_a_folder_of_something_else_is_refused(tmp_path):
    plan = plan_of()

    def check(out, classes=CLASSES):
        checks.folder_record(out).check(dict(name=plan.name, classes=classes))

    check(tmp_path / 'new')
    check(tmp_path)
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match=r'holds other files \(notes.txt, ...\) and no compar'):
        check(tmp_path)
    with pytest.raises(ValueError, match='is a file; choose another'):
        check(tmp_path / 'notes.txt')
    record = tmp_path / 'comparison.json'
    record.write_text(json.dumps(dict(name='test', classes=CLASSES)))
    check(tmp_path)
    with pytest.raises(ValueError, match=r'classes: \["NILM", .* there, \["a"\] now'):
        check(tmp_path, ['a'])
    record.write_text(json.dumps(dict(name='other', classes=CLASSES)))
    with pytest.raises(ValueError, match='name: "other" there, "test" now'):
        check(tmp_path)
    record.write_text('{')
    with pytest.raises(ValueError, match='is damaged'):
        check(tmp_path)


def test_an_evaluation_needs_its_parts(tmp_path):
    with pytest.raises(ValueError, match='has no val_cfg'):
        checks.read_evaluation(plan_of(evaluation_options={'val_cfg': None}))
    options = {'val_evaluator.metrics': [dict(type='PSNR')]}
    with pytest.raises(ValueError, match='val_evaluator has no ClassDistances'):
        checks.read_evaluation(plan_of(evaluation_options=options))


def images(size):
    image = torch.zeros(3, size, size, dtype=torch.uint8)
    dataset = SimpleNamespace(metainfo=dict(classes=CLASSES))
    return type('Images', (), {
        **vars(dataset), '__getitem__': lambda self, i: dict(inputs=dict(img=image)),
        '__len__': lambda self: 1,
    })()  # fmt: skip


def test_image_sizes_must_agree(tmp_path, monkeypatch):
    sizes = iter([64, 64])
    monkeypatch.setattr(checks, 'DATASETS', SimpleNamespace(build=lambda c: images(next(sizes))))
    plan = plan_of()
    evaluation = checks.read_evaluation(plan)
    laid = parts.lay_out(plan, tmp_path, evaluation, {})
    assert checks.check_parts(plan, laid, images(64)) == []
    message = r"model 'CellGAN', .*trains on images of shape \(3, 64, 64\).*reads \(3, 128, 128\)"
    with pytest.raises(ValueError, match=message):
        checks.check_parts(plan, laid, images(128))
    wrong = dict(name='A', config=PHANTOM, options={'model.generator.out_size': 32})
    plan = plan_of(wrong)
    sizes = iter([64])
    with pytest.raises(ValueError, match=r"model 'A', .*model.generator.out_size=32"):
        checks.check_parts(plan, lay_out(plan, tmp_path), images(64))


def test_models_trained_on_different_images_are_remarked_on():
    other = dict(name='B', config=PHANTOM, options={'train_dataloader.dataset.split': 'val'})
    assert checks._remarks(plan_of()) == []
    (remark,) = checks._remarks(plan_of(dict(name='A', config=PHANTOM), other))
    assert "'split': 'train'" in remark and "'split': 'val'" in remark


# The table --------------------------------------------------------------------------------------


def test_pooled_values():
    assert report.pooled([]) is None and report.pooled([None]) is None
    assert report.pooled([3.0, None]) == 3.0
    assert report.pooled([1.0, 2.0, 3.0]) == (2.0, 1.0)


@pytest.fixture
def two_models(tmp_path):
    given = tmp_path / 'given.pth'
    given.write_bytes(b'weights')
    plan = plan_of(
        dict(name='CellGAN', config=PHANTOM, settings={'(a)': True}),
        dict(name='Other', config=PHANTOM, settings={'(a)': False}, checkpoint=str(given)),
        seeds=[0, 1],
        title='Table 2',
    )
    return plan, lay_out(plan, tmp_path / 'out')


def test_the_rows_of_the_table(two_models):
    plan, laid = two_models
    assert [(part.model, part.seed) for part in laid] == [
        ('CellGAN', 0),
        ('CellGAN', 1),
        ('Other', 0),
    ]
    assert report.tables(ComparisonResults(plan, laid, {})) == {}
    finish(laid[0], [10.0, 20.0, 30.0, 40.0, 50.0, 30.0])
    finish(laid[1], [12.0, 20.0, 30.0, 40.0, 50.0, 30.4])
    finish(laid[2], [11.5, 25.0, None, 40.0, 50.0, 31.0], iteration=777)
    results = ComparisonResults(plan, laid, {})
    tables = report.tables(results, ['a remark'])
    distances = tables['distances']
    assert [column.key for column in distances.columns] == [
        'model', 'setting/(a)', 'FID/NILM', 'FID/ASC-US', 'FID/LSIL', 'FID/ASC-H', 'FID/HSIL',
        'FID/mean',
    ]  # fmt: skip
    assert [column.title for column in distances.columns[2:4]] == ['FID NILM', 'FID ASC-US']
    first, second = tables['table'].rows
    assert first['FID/NILM'] == (11.0, pytest.approx(math.sqrt(2)))
    assert first['FID/mean'] == (30.2, pytest.approx(0.4 / math.sqrt(2)))
    assert first['setting/(a)'] is True and second['setting/(a)'] is False
    assert first['iterations'] == 40 and second['iterations'] == 777
    assert first['generator_parameters'] == 1.5 and first['trained_parameters'] == 4.0
    assert first['training_images_per_second'] == (2.0, 0.0)
    assert first['device_hours'] == (2.0, 0.0)
    assert second['FID/LSIL'] is None and second['FID/LSIL_why'] == 'not computable'
    assert second['device_hours_why'] == 'the checkpoint does not say'
    assert tables['table'].title == 'Table 2: FID per class'
    notes = tables['table'].notes
    assert 'NILM 9 / 8' in notes[1] and 'Training seeds: 0, 1; mean ± standard' in notes[2]
    assert notes[2].startswith('Budget of CellGAN: as many iterations as the config')
    assert notes[3] == 'Other: given weights (given.pth, iteration 777), trained before.'
    # One training of the other: what another seed of it gives is not known, so nothing is bold.
    assert any(note.startswith('Nothing is bold') for note in notes)
    assert '**12' not in markdown_table(tables['table'])
    assert 'a remark' in notes and 'Not comparable' not in notes[0]
    assert distances.rows == tables['table'].rows and len(distances.notes) == len(notes) - 1


def test_small_distances_have_more_digits_and_features_are_named(two_models):
    plan, laid = two_models
    values = [0.0123, 0.02, 0.03, 0.04, 0.05, 0.03]
    finish(laid[0], values, name='FD(net)', notes=['few images'])
    table = report.tables(ComparisonResults(plan, laid, {}))['distances']
    assert table.title == 'Table 2: FD(net) per class'
    assert table.columns[2].key == 'FD(net)/NILM' and table.columns[2].title == 'FD NILM'
    assert table.columns[2].digits == 3
    assert table.notes[0].endswith('lower is better. Not comparable with FID.')
    assert 'NILM, ASC-US, LSIL, ASC-H, HSIL: few images.' in table.notes


def test_bold_is_beyond_the_noise_of_seeds(tmp_path):
    models = [dict(name=name, config=PHANTOM) for name in ('A', 'B')]
    plan = plan_of(*models, seeds=[0, 1, 2])
    laid = lay_out(plan, tmp_path)
    first = [[10 + seed / 10, 20 + seed, 30.0, 40.0, 50.0, 30.0] for seed in range(3)]
    second = [[15 + seed / 10, 21 - seed, 30.0, 41.0, 50.0, 31.4] for seed in range(3)]
    for part, values in zip(laid, [*first, *second], strict=True):
        finish(part, values)
    found = report.tables(ComparisonResults(plan, laid, {}))['distances']
    row = next(line for line in markdown_table(found).splitlines() if line.startswith('| A'))
    bold = ['**' in cell for cell in row.split('|')[2:-1]]
    assert bold == [True, False, False, True, False, True]  # NILM, ASC-H, mean
    assert any(note.startswith('Bold: better than every other row') for note in found.notes)
    # The same numbers of grey frames are best in nothing.
    made = {name: np.full((5, 4, 8, 8, 3), 100, np.uint8) for name in ('A', 'B')}
    made['B'] = np.random.default_rng(0).integers(0, 255, (5, 4, 8, 8, 3)).astype(np.uint8)
    real = [list(made['B'][0])] * 5
    grey = grey_frames(made, real)
    assert (
        list(grey) == ['A']
        and '0% of the contrast of real images and 0% of the variety' in grey['A']
    )
    rows = [dict(model=name, x=float(place)) for place, name in enumerate('AB')]
    column = Column('x', 'X', better='lower')
    known = {('A', 'x'): Noise(0.01), ('B', 'x'): Noise(0.01)}
    differs = differ_by_noise(known, 'model')
    assert mark_undecided(rows, [column], differs) and 'not_best' not in rows[0]
    assert not mark_undecided(rows, [column], differs, lambda row: row['model'] in grey)
    assert rows[0]['not_best'] == ['x']


def test_the_noise_between_two_rows_is_welchs_test():
    draws = np.random.default_rng(3)
    for size in (2, 3, 5):
        for shift in (0.5, 2.0, 8.0):
            a, b = draws.normal(0, 1, size), draws.normal(shift, 2, size + 1)
            expected = stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05
            noise = [noise_of_trainings(list(values)) for values in (a, b)]
            assert differ(a.mean(), b.mean(), *noise) == expected
    assert noise_of_trainings([1.0, None]) is None and not differ(1, 9, None, Noise(0.1))
    assert noise_of_intervals([(0, 3.919928), (0, 3.919928)]).error == pytest.approx(0.5**0.5)
    assert noise_of_intervals([(0, 1), None]) is None


def test_failures_stand_in_their_row(two_models):
    plan, laid = two_models
    finish(laid[0])
    failures = {laid[1].trainings[0].job: 'no memory', laid[2].job: 'bad weights'}
    rows = report.tables(ComparisonResults(plan, laid, failures))['table'].rows
    assert rows[0]['FID/mean'] == 30.0 and rows[0]['model_why'] == '1 of 2 trainings; no memory'
    assert 'FID/mean' not in rows[1]
    assert rows[1]['FID/mean_why'] == rows[1]['iterations_why'] == 'bad weights'


def test_the_picture(two_models):
    plan, laid = two_models
    finish(laid[0])
    dataset = type('Real', (), {
        '__len__': lambda self: 11,
        '__getitem__': lambda self, i: dict(
            inputs=dict(img=torch.full((3, 8, 8), 100 + i, dtype=torch.uint8))),
        'get_data_info': lambda self, i: dict(gt_label=i % 5),
    })()  # fmt: skip
    results = ComparisonResults(plan, laid, {})
    real = figure.real_samples(dataset, 5, plan.figure.samples_per_class, plan.figure.seed)
    picture = figure.figure(results, figure.made_images(results), real)
    assert set(range(100, 111)) <= set(np.unique(picture))  # all eleven real images
    assert (picture == 0).all(axis=2).sum() >= 5 * 4 * 64  # five cells of four black images
    found = figure.real_samples(dataset, 5, 2, seed=0)
    assert [len(of_class) for of_class in found] == [2, 2, 2, 2, 2]
    again = figure.real_samples(dataset, 5, 2, seed=0)
    assert all(
        (a == b).all() for x, y in zip(found, again, strict=True) for a, b in zip(x, y, strict=True)
    )


# What is said -----------------------------------------------------------------------------------


def test_a_failure_in_one_line():
    message = (
        'ended with status 2; see out/job.log\nTraceback\n  line\n'
        'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n[W] closing'
    )
    assert module.failure_text(JobResult('train A', 'failed', 2, 1.0, message)) == (
        'train A ended with status 2; see out/job.log: torch.OutOfMemoryError: CUDA out of memory. '
        'Tried to allocate 2 GiB'
    )
    message = 'ended by SIGKILL (out of memory?); see out/job.log'
    assert module.failure_text(JobResult('train A', 'failed', -9, 1.0, message)) == (
        f'train A {message}'
    )
    skipped = JobResult('evaluate A', 'skipped', message='needs train A, which failed')
    assert module.failure_text(skipped) == 'needs train A, which failed'


def test_progress_is_read_from_the_log():
    line = 'INFO - Iter(train) [  25/800]  lr: 1.0000e-03  eta: 0:03:12  time: 0.2480  loss: 1'
    assert progress_of(f'x\n{line}\n') == 'iteration 25 of 800, 0:03:12 left'
    text = 'INFO - time budget: 1.50 of 6 min (25 %) after iteration 200'
    assert progress_of(f'{line}\n{text}\n') == '25 %, about 4.5 min of training left'
    assert progress_of('import torch') == ''
