"""The data set's own splits, and shares of the training images."""

import pytest

from cellgan_plugin.benchmark.fixed_split import plan_fixed, with_share
from cellgan_plugin.benchmark.fold_plan import FoldError, Sample
from cellgan_plugin.benchmark.folds import plan_folds

CLASSES = ('normal', 'tumor')


def samples(part, counts=(6, 4), group=None):
    return [
        Sample(f'/{part}/{label}_{i}', label, group and f'{group}{i % 2}', f'{part}{label}{i}')
        for label, count in enumerate(counts)
        for i in range(count)
    ]


def parts(**more):
    return dict(train=samples('train', (60, 40)), val=samples('val'), test=samples('test'), **more)


def contents(plan, part, fold=0):
    return {plan.samples[i].content for i in getattr(plan.folds[fold], part)}


def test_the_splits_stay_as_they_are():
    plan = plan_fixed(parts(), CLASSES)
    for name, found in parts().items():
        assert contents(plan, name) == {sample.content for sample in found}
    assert plan.class_counts('test').tolist() == [[6, 4]]
    # The order of a listing does not matter.
    shuffled = {name: found[::-1] for name, found in parts().items()}
    assert plan_fixed(shuffled, CLASSES).digest == plan.digest


def test_copies_of_test_images_do_not_train():
    found = parts()
    found['train'].append(Sample('/train/copy', 0, None, found['test'][0].content))
    found['train'].append(Sample('/train/copy2', 1, None, found['val'][-1].content))
    found['val'].append(Sample('/val/copy', 0, None, found['test'][1].content))
    plan = plan_fixed(found, CLASSES)
    assert len(plan.folds[0].train) == 100 and len(plan.folds[0].val) == 10
    assert any(note.startswith('2 images of train') for note in plan.notes)
    assert any(note.startswith('1 images of val') for note in plan.notes)


def test_a_slide_in_two_splits_is_an_error():
    found = parts()
    found['train'] = samples('train', (60, 40), group='slide')
    found['test'] = samples('test', group='slide')
    with pytest.raises(FoldError, match="group 'slide0' is in"):
        plan_fixed(found, CLASSES)
    with pytest.raises(FoldError, match="test has no image of 'tumor'"):
        plan_fixed(dict(parts(), test=samples('test', (6, 0))), CLASSES)


def test_shares_are_nested_and_stratified_and_test_on_the_same_images():
    whole = plan_fixed(parts(), CLASSES)
    shares = {share: with_share(whole, share) for share in (0.05, 0.1, 0.2, 1.0)}
    for share, plan in shares.items():
        assert plan.class_counts('train').tolist() == [[round(60 * share), round(40 * share)]]
        assert contents(plan, 'test') == contents(whole, 'test')
        assert contents(plan, 'val') == contents(whole, 'val')
        assert len(plan.samples) == 100 * share + 20, 'others are not carried along'
    drawn = [contents(plan, 'train') for plan in shares.values()]
    assert all(small < large for small, large in zip(drawn, drawn[1:], strict=False))
    assert drawn[-1] == contents(whole, 'train')
    assert contents(with_share(whole, 0.1), 'train') == drawn[1]
    other = plan_fixed(parts(), CLASSES, seed=1)
    assert contents(with_share(other, 0.1), 'train') != drawn[1]


def test_shares_of_all_images_as_pcam_is_counted():
    # 10 % of 327,680 images are 32,768, drawn from the training split (Sec. 4.1): here 12 of 120.
    plan = with_share(plan_fixed(parts(), CLASSES), 0.1, 'all')
    assert plan.class_counts('train').tolist() == [[7, 5]]
    with pytest.raises(FoldError, match='more than the 100 training images'):
        with_share(plan_fixed(parts(), CLASSES), 0.9, 'all')
    with pytest.raises(FoldError, match="class 'tumor': 0.01 of 40 training images is none"):
        with_share(plan_fixed(parts(), CLASSES), 0.01)


def test_repeats_draw_other_shares_and_folds_can_have_shares():
    plan = with_share(plan_fixed(parts(), CLASSES, repeats=2), 0.1)
    assert contents(plan, 'train', 0) != contents(plan, 'train', 1)
    assert contents(plan, 'test', 0) == contents(plan, 'test', 1)
    folds = plan_folds(samples('x', (20, 20)), CLASSES, 2, None)
    half = with_share(folds, 0.5)
    for fold in (0, 1):
        assert contents(half, 'train', fold) < contents(folds, 'train', fold)
        assert contents(half, 'test', fold) == contents(folds, 'test', fold)
        assert not contents(half, 'train', fold) & contents(half, 'test', fold)
