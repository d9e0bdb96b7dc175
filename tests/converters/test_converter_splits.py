from collections import Counter

import numpy as np
import pytest

from cellgan_plugin.converters.common import (
    ConverterError,
    check_classes,
    split_table,
)
from cellgan_plugin.converters.splits import split_by_group


def make(seed, groups=60, classes=5):
    rng = np.random.default_rng(seed)
    labels, names = [], []
    for group in range(groups):
        for label in rng.choice(classes, rng.integers(1, 3), replace=False):
            count = int(rng.integers(1, 15))
            labels += [f'c{label}'] * count
            names += [f'g{group}'] * count
    return labels, names


def shares(labels, groups, sides):
    counts = Counter((label, sides[group]) for label, group in zip(labels, groups, strict=True))
    totals = Counter(labels)
    return {key: counts[key] / totals[key[0]] for key in counts}


@pytest.mark.parametrize('fractions', [(0.7, 0.15, 0.15), (0.8, 0, 0.2), (0.5, 0.25, 0.25)])
def test_each_class_is_spread_evenly(fractions):
    labels, groups = make(0)
    found = shares(labels, groups, split_by_group(labels, groups, fractions, 0))
    for label in set(labels):
        for split, wanted in zip(('train', 'val', 'test'), fractions, strict=True):
            assert found.get((label, split), 0) == pytest.approx(wanted, abs=0.05)


def test_order_does_not_matter_and_the_seed_does():
    labels, groups = make(1)
    once = split_by_group(labels, groups, (0.7, 0.15, 0.15), 3)
    order = np.random.default_rng(0).permutation(len(labels))
    again = split_by_group(
        [labels[i] for i in order], [groups[i] for i in order], (0.7, 0.15, 0.15), 3
    )
    assert once == again
    assert once != split_by_group(labels, groups, (0.7, 0.15, 0.15), 4)


def test_presence_before_even_shares():
    # One field has nearly all of the class; still each split gets a field.
    labels = ['a'] * 50 + ['a', 'a'] + ['a']
    groups = ['big'] * 50 + ['small', 'small'] + ['tiny']
    sides = split_by_group(labels, groups, (0.7, 0.15, 0.15), 0)
    assert sides['big'] == 'train' and set(sides.values()) == {'train', 'val', 'test'}
    assert set(split_by_group(['a'] * 2, ['x', 'y'], (0.7, 0.15, 0.15), 0).values()) == {
        'train',
        'test',
    }
    assert split_by_group(['a'], ['x'], (0.7, 0.15, 0.15), 0) == {'x': 'train'}
    assert split_by_group([], [], (0.7, 0.15, 0.15), 0) == {}


def test_many_single_images_are_fast_and_exact():
    labels = [f'c{i % 4}' for i in range(4000)]
    groups = [str(i) for i in range(4000)]
    found = shares(labels, groups, split_by_group(labels, groups, (0.7, 0.15, 0.15), 0))
    assert found['c0', 'train'] == pytest.approx(0.7, abs=0.002)
    assert found['c3', 'test'] == pytest.approx(0.15, abs=0.002)


@pytest.mark.parametrize(
    'fractions', [(1,), (0.5, 0.5, 0.5), (0, 0.5, 0.5), (1.2, -0.2, 0), (float('nan'), 0.5, 0.5)]
)
def test_bad_fractions(fractions):
    with pytest.raises(ConverterError, match='split fractions are'):
        split_by_group(['a'], ['x'], fractions, 0)


def test_table_counts_images_and_groups():
    rows = [
        {'label': 'A', 'split': 'train', 'group': 'x'},
        {'label': 'A', 'split': 'train', 'group': 'x'},
        {'label': 'B', 'split': 'test', 'group': 'y'},
    ]
    lines = split_table(rows, ('A', 'B', 'C'), (0.8, 0, 0.2))
    assert lines[0].split() == ['images', '(groups)', 'train', 'test', 'all']
    assert lines[1].split() == ['A', '2', '(1)', '0', '(0)', '2', '(1)']
    assert lines[4].split() == ['all', '2', '(1)', '1', '(1)', '3', '(2)']
    assert 'A has no image in test' in lines[5] and 'C has no image' in lines[7]


@pytest.mark.parametrize('name', ['a/b', '..', '.a', '', 'a:b', 'a\tb', '-'])
def test_class_names_are_folder_names(name):
    with pytest.raises(ConverterError):
        check_classes(['ok', name])


def test_usual_class_names_pass():
    names = ('NILM', 'ASC-US', 'Grade 1', 'p16+', 'CIN_2', 'Zelle-ä')
    assert check_classes(names) == check_classes([f' {name}\n' for name in names]) == names
