"""Distances of one's own in the table of classes."""

import numpy as np
import pytest

from cellgan_plugin.comparison.report import _further_columns
from cellgan_plugin.comparison.results import ComparisonResults
from cellgan_plugin.evaluation import (
    DistanceContext,
    FeatureSet,
    Measured,
    TableOptions,
    class_table,
    register_distance,
)
from cellgan_plugin.evaluation.distances import TooFewImagesError
from cellgan_plugin.evaluation.table_distances import DISTANCES, distance_of_value


def features(seed, shift=0.0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(24, 3)).astype(np.float32) + np.float32(shift)
    return FeatureSet(rows, np.arange(24) % 2, ('a', 'b'), 'f' * 64, {})


@pytest.fixture
def registered():
    """Registers distances for one test."""
    before = dict(DISTANCES)
    yield register_distance
    for name in set(DISTANCES) - set(before):
        del DISTANCES[name]


def test_a_registered_distance_is_a_column_with_interval_and_notes(registered):
    @registered('shift', values=('shift', 'spread'), better='higher', digits=4)
    def shift(real, fake, context):
        assert isinstance(context, DistanceContext) and context.few
        if len(real) < 20:
            raise TooFewImagesError('20 images are needed')
        value = float(fake.mean() - real.mean())
        return dict(shift=Measured(value, (value - 1, value + 1), 'seen'), spread=np.float32(0.5))

    options = TableOptions(distances=('shift', 'fd'), interval='never')
    a, b, mean, pooled = class_table(features(0), features(1, 2.0), options=options)
    assert 'shift' not in a.values and 'FD' in a.values
    assert 'shift not computable: 20 images are needed' in a.notes
    assert list(mean.values) == ['FD']
    expected = features(1, 2.0).features.mean() - features(0).features.mean()
    assert pooled.values['shift'] == pytest.approx(expected)
    assert pooled.intervals == dict(shift=pytest.approx((expected - 1, expected + 1)))
    assert pooled.values['spread'] == 0.5 and type(pooled.values['spread']) is float
    assert 'seen' in pooled.notes
    assert distance_of_value('spread').better == 'higher'


def test_tables_of_a_comparison_know_which_value_is_better(registered):
    @registered('nearness', better='higher', digits=4)
    def nearness(real, fake, context):
        return dict(nearness=1.0)

    names = ('FD(x)', 'nearness', 'coverage', 'memorised', 'KD(x)')
    report = dict(rows=[dict(row='mean', values=dict.fromkeys(names, 1.0))])
    results = ComparisonResults(None, [], {})
    results.found = {'a model': dict(reports=[report])}
    columns = _further_columns(results)
    assert [(c.key, c.better, c.digits) for c in columns] == [
        ('nearness/mean', 'higher', 4), ('coverage/mean', 'higher', 3),
        ('memorised/mean', 'lower', 3), ('KD(x)/mean', 'lower', 2),
    ]  # fmt: skip


def test_what_cannot_be_registered_or_computed_is_said(registered):
    with pytest.raises(ValueError, match="'kid' is registered already"):
        registered('kid')(lambda real, fake, context: {})
    with pytest.raises(ValueError, match="better='big'; 'lower' or 'higher'"):
        registered('x', better='big')
    with pytest.raises(ValueError, match=r"choose any of \['fd', 'kid', 'prdc', 'fd_inf'\]"):
        TableOptions(distances=('shift',))
    registered('broken')(lambda real, fake, context: dict(broken=float('nan')))
    row = class_table(features(0), features(1), options=TableOptions(distances=('broken',)))[0]
    assert row.values == {} and 'broken not computable: broken is nan' in row.notes


def test_a_distance_may_return_one_number_and_nothing_that_is_no_number(registered):
    registered('gap')(lambda real, fake, context: fake.mean() - real.mean())
    registered('bare')(lambda real, fake, context: Measured(1.0, (0.0, 2.0)))
    registered('matrix')(lambda real, fake, context: real - real)
    registered('word')(lambda real, fake, context: dict(said='near'))
    options = TableOptions(distances=('gap', 'bare'))
    row = class_table(features(0), features(1), options=options)[-1]
    expected = features(1).features.mean() - features(0).features.mean()
    assert row.values == dict(gap=pytest.approx(expected), bare=1.0)
    assert row.intervals == dict(bare=(0.0, 2.0))
    for name, words in (
        ('matrix', r"'matrix': 'matrix' is ndarray of shape \(12, 3\); a number"),
        ('word', "'word': 'said' is str"),
    ):
        with pytest.raises(ValueError, match=words):
            class_table(features(0), features(1), options=TableOptions(distances=(name,)))
