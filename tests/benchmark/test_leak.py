import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from cellgan_plugin.benchmark.folds import Sample, plan_folds
from cellgan_plugin.benchmark.leak import (
    LeakError,
    check_leak,
    near_copies,
    refuse_leaks,
    seen_beyond,
)
from cellgan_plugin.benchmark.rows import Generator
from cellgan_plugin.benchmark.synthetic import HashCache, read_folder, real_samples
from cellgan_plugin.compat import UntrustedCheckpointError
from cellgan_plugin.datasets.content_hash import (
    from_hex,
    group_hashes,
    merge_hashes,
    split_groups,
    to_hex,
    write_training_images,
)
from cellgan_plugin.phantom import write_phantom_dataset
from cellgan_plugin.runs.provenance import training_groups_of, training_images_of

CLASSES = ('NILM', 'HSIL')
HASHES = np.random.default_rng(0).integers(0, 256, (6, 16), dtype=np.uint8)


def sample(label, number, group=None):
    name = f'{CLASSES[label]}/{number}.png'
    return Sample(f'/data/{name}', label, group, f'{label}{number:031x}')


SAMPLES = [sample(label, number) for label in range(2) for number in range(20)]
SLIDES = [
    sample(label, number, f'slide{number % 10}') for label in range(2) for number in range(20)
]


def contents(plan, indices):
    return {plan.samples[i].content for i in indices}


# What a source says ------------------------------------------------------------------------------


def test_a_checkpoint_a_work_directory_and_a_synthetic_folder_say_it(tmp_path):
    expected = set(to_hex(HASHES))
    torch.save(dict(training_images=torch.from_numpy(HASHES)), tmp_path / 'iter_4.pth')
    assert training_images_of(tmp_path / 'iter_4.pth') == expected
    assert training_images_of(str(tmp_path)) == expected  # by its newest checkpoint

    write_training_images(tmp_path, HASHES[:2])
    assert training_images_of(tmp_path) == set(to_hex(HASHES[:2]))  # its list comes first
    assert training_images_of(tmp_path / 'training_images.txt') == set(to_hex(HASHES[:2]))
    assert training_images_of(tmp_path / 'iter_4.pth') == expected  # a checkpoint by itself

    synthetic = tmp_path / 'synthetic'
    synthetic.mkdir()
    (synthetic / 'manifest.csv').write_text('file,label\nHSIL/0.png,HSIL\n')
    assert training_images_of(synthetic) is None
    write_training_images(synthetic, HASHES)
    assert training_images_of(synthetic) == expected


def test_saying_nothing_is_not_saying_none(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'old.pth')
    assert training_images_of(tmp_path / 'old.pth') is None
    assert training_images_of(tmp_path) is None
    torch.save(dict(training_images=torch.zeros(0, 16, dtype=torch.uint8)), tmp_path / 'none.pth')
    assert training_images_of(tmp_path / 'none.pth') == set()


def test_bad_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing does not exist'):
        training_images_of(tmp_path / 'nothing')
    for number, wrong in enumerate(
        (torch.zeros(3, 16), 'text', torch.zeros(16, dtype=torch.uint8))
    ):
        torch.save(dict(training_images=wrong), tmp_path / f'{number}.pth')
        with pytest.raises(ValueError, match=f'{number}.pth: training_images cannot be read'):
            training_images_of(tmp_path / f'{number}.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / '0.pth').read_bytes()[:100])
    with pytest.raises(ValueError, match='damaged or not a PyTorch checkpoint'):
        training_images_of(tmp_path / 'cut.pth')
    torch.save(dict(training_images=Sample), tmp_path / 'code.pth')
    with pytest.raises(UntrustedCheckpointError):
        training_images_of(tmp_path / 'code.pth')
    (tmp_path / 'training_images.txt').write_text('not a hash\n')
    with pytest.raises(ValueError, match='line 1'):
        training_images_of(tmp_path)


# What folds share with it ------------------------------------------------------------------------


def test_a_generator_of_one_fold_is_clean_there_and_leaks_elsewhere():
    plan = plan_folds(SAMPLES, CLASSES, 5, seed=1)
    trained = contents(plan, plan.folds[2].train)
    assert check_leak(plan, 'g', trained, fold=2).clean
    report = check_leak(plan, 'g', trained)
    assert not report.clean and [leak.fold for leak in report.found] == [0, 1, 3, 4]
    for leak in report.found:
        tested = plan.folds[leak.fold].test
        assert leak.files == tuple(plan.samples[i].file for i in tested)
        assert leak.tested == len(leak.files) == 8


def test_one_test_image_is_enough():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    index = plan.folds[3].test[0]
    report = check_leak(plan, 'g', {plan.samples[index].content, 'e' * 32})
    assert [(leak.fold, leak.files) for leak in report.found] == [(3, (plan.samples[index].file,))]
    assert len(report.folds) == 5
    assert report.summary() == 'g: trained on 1 of 40 test images; scores are too good'


def test_images_from_elsewhere_do_not_matter():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    for trained in (set(), {'e' * 32}, set(to_hex(HASHES))):
        report = check_leak(plan, 'g', trained)
        assert report.clean and report.known and not report.found
        assert report.summary() == report.message() == ''
        refuse_leaks([report])


def test_slides_are_compared_by_name_whatever_the_pixels():
    plan = plan_folds(SLIDES, CLASSES, 5)
    # Trained on copies of the test images of fold 0 that are JPEGs now: other pixels, same slides.
    slides = {plan.samples[i].group for i in plan.folds[0].test}
    groups = set(to_hex(group_hashes(slides)))
    report = check_leak(plan, 'g', {'e' * 32}, groups=groups)
    (leak,) = report.found
    assert leak.fold == 0 and leak.files == ()
    assert set(leak.group_files) == {plan.samples[i].file for i in plan.folds[0].test}
    assert not report.clean and report.limits() == ''
    others = {plan.samples[i].group for i in plan.folds[0].train}
    assert check_leak(plan, 'g', {'e' * 32}, 0, groups=set(to_hex(group_hashes(others)))).clean
    # A generator that does not say its slides: that is said.
    unsaid = check_leak(plan, 'g', {'e' * 32})
    assert unsaid.clean and 'do not say of which slides or patients' in unsaid.limits()
    assert not unsaid.to_dict()['groups_known']
    assert check_leak(plan_folds(SAMPLES, CLASSES, 5), 'g', {'e' * 32}).limits() == ''


def test_groups_travel_with_the_hashes_of_images(tmp_path):
    groups = group_hashes(['Zürich 1', 'Zu\u0308rich 1 ', 'slide 2', ''])
    assert len(groups) == 2
    images, found = split_groups(merge_hashes(HASHES, groups))
    assert {*to_hex(images)} == {*to_hex(HASHES)} and {*to_hex(found)} == {*to_hex(groups)}
    both = torch.from_numpy(merge_hashes(HASHES, groups))
    torch.save(dict(training_images=both), tmp_path / 'iter_4.pth')
    (tmp_path / 'folder').mkdir()
    write_training_images(tmp_path / 'folder', both)
    for source in (tmp_path / 'iter_4.pth', tmp_path / 'folder'):
        assert training_images_of(source) == {*to_hex(HASHES)}
        assert training_groups_of(source) == {*to_hex(groups)}
    torch.save(dict(state_dict={}), tmp_path / 'old.pth')
    assert training_groups_of(tmp_path / 'old.pth') == set()


def test_a_generator_that_has_seen_more_than_the_classifiers_is_said():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    train = contents(plan, plan.folds[0].train)
    one_fold = dataclasses.replace(plan, folds=plan.folds[:1])
    assert seen_beyond(one_fold, 'g', train) == seen_beyond(one_fold, 'g', None) == []
    (note,) = seen_beyond(one_fold, 'g', train | {'e' * 32, 'f' * 32})
    assert note.startswith(f'g: 2 of the {len(train) + 2} images that it was trained on train no')


def test_hashes_of_the_file_format_match_those_of_samples():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    stored = from_hex(s.content for s in plan.samples)
    assert len(check_leak(plan, 'g', set(to_hex(stored))).found) == 5


def test_the_slide_of_a_training_image_counts():
    plan = plan_folds(SLIDES, CLASSES, 5, per_class=15, seed=2)
    test = [plan.samples[i] for i in plan.folds[0].test]
    chosen = {s.content for s in plan.samples}
    # Trained on images of the test slides that the benchmark itself does not use.
    beyond = [s for s in SLIDES if s.content not in chosen and s.group in {t.group for t in test}]
    assert beyond
    trained = {s.content for s in beyond}
    assert check_leak(plan, 'g', trained, fold=0).clean  # nobody knows their slides
    report = check_leak(plan, 'g', trained, fold=0, known_samples=SLIDES)
    groups = {s.group for s in beyond}
    expected = tuple(s.file for s in test if s.group in groups)
    assert report.found[0].group_files == expected and report.found[0].files == ()
    assert f'the slide or patient of {len(expected)} of {len(test)} test images' in report.message()

    both = check_leak(plan, 'g', trained | {test[0].content}, fold=0, known_samples=SLIDES)
    assert both.found[0].files == (test[0].file,)
    assert f'fold 1: 1 of {len(test)} test images and the slide' in both.message()
    assert 'slides or patients of' in both.summary()
    # The training part of a grouped fold shares no slide with its test part.
    assert check_leak(plan, 'g', contents(plan, plan.folds[0].train), 0, SLIDES).clean


def test_unknown_provenance_is_refused():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    report = check_leak(plan, 'a folder from elsewhere', None)
    assert not report.known and not report.clean and not report.found
    assert 'a folder from elsewhere does not say which images' in report.message()
    assert 'cannot be ruled out' in report.message()
    assert report.summary().endswith('scores may be too good')
    with pytest.raises(LeakError):
        refuse_leaks([report])


def test_the_error_tells_a_user_all_at_once():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    everything = contents(plan, range(40))
    name = "generator 'CellGAN' (work_dirs/cellgan_tct/iter_100000.pth)"
    reports = [
        check_leak(plan, name, everything),
        check_leak(plan, 'clean one', set()),
        check_leak(plan, "generator 'studio' (data/studio)", None),
    ]
    with pytest.raises(LeakError) as error:
        refuse_leaks(reports)
    text = str(error.value)
    for number in range(5):
        assert f'fold {number + 1}: 8 of 8 test images' in text
    assert name in text and 'studio' in text and 'clean one' not in text
    assert plan.samples[plan.folds[0].test[0]].file in text
    assert text.count('/data/') == 3  # examples, not a list of everything
    for way in ('--train-generators', '--allow-leak', 'Keep a test set apart'):
        assert way in text
    assert [r.source for r in error.value.reports] == [reports[0].source, reports[2].source]
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == text


def test_a_report_goes_into_json():
    plan = plan_folds(SAMPLES, CLASSES, 5)
    report = check_leak(plan, 'g', contents(plan, plan.folds[1].test))
    data = json.loads(json.dumps(report.to_dict()))
    assert data['known'] and not data['clean']
    assert len(data['folds'][1]['files']) == 8 and data['folds'][0]['files'] == []


def test_near_copies_of_test_images_are_a_leak(tmp_path):
    write_phantom_dataset(
        tmp_path / 'real', size=32, splits=dict(train=dict(NILM=10, LSIL=10)), seed=0
    )
    cache = HashCache(tmp_path)
    classes = ('NILM', 'LSIL')
    samples = real_samples(dict(data_root=tmp_path / 'real'), classes, cache)
    plan = plan_folds(samples, classes, 5)
    tested = plan.samples[plan.folds[1].test[0]]
    other = write_phantom_dataset(
        tmp_path / 'other', size=32, splits=dict(train=dict(NILM=8, LSIL=8)), seed=7
    )
    assert other
    folder = tmp_path / 'other'
    generator = Generator('G', folder=str(folder))

    def near():
        found = read_folder(generator, classes, (20, 20), cache)
        files = [f'{folder}/{patch.file}' for patch in found.patches]
        return near_copies(plan, cache.perceptual(files, ''), cache)

    assert near() == set()
    turned = Image.open(tested.file).transpose(Image.Transpose.ROTATE_90).resize((48, 48))
    turned.save(folder / 'NILM' / 'copy.jpg', quality=80)
    (folder / 'manifest.csv').unlink()
    assert near() == {tested.content}
    assert check_leak(plan, 'G', {'e' * 32}).clean
    report = check_leak(plan, 'G', {'e' * 32}, near=near())
    assert [str(fold) for fold in report.found] == ['fold 2: near copies of 1 test images']
    assert report.summary() == (
        'G: near copies of 1 of 20 test images are among its images; scores are too good'
    )
    assert tested.file in report.message() and report.to_dict()['folds'][1]['near_files']
    both = check_leak(plan, 'G', {tested.content}, near=near())
    assert not both.folds[1].near_files and len(both.folds[1].files) == 1  # said once
