"""Rows and sweeps of a benchmark's table, as a config names them."""

import pytest
from mmengine.config import Config

from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.benchmark.rows import Augmentation, Sweep
from cellgan_plugin.errors import ProtocolError

BASE = dict(
    data=dict(data_root='x', ann_file='manifest.csv'),
    classifiers=dict(A='a.py'),
    generators=dict(G=dict(config='g.py')),
    train_generators=True,
)


def read(given=None, **values):
    return read_protocol(Config({**BASE, **values}), given)


def test_pools_have_four_r_n_candidates_unless_said_otherwise():
    row = Augmentation('a', generator='G', rule='selective', ratio=0.5)
    assert [row.candidates(n) for n in (1, 10, 105)] == [2, 20, 210]
    assert Augmentation('a', generator='G', ratio=0.1).candidates(10) == 4  # 0.4 x 10, not 5
    assert Augmentation('a', generator='G', pool=8).candidates(105) == 840
    assert Augmentation('a', generator='G', pool=2.5).candidates(3) == 8


def test_a_sweep_is_a_row_per_pool_and_ratio():
    rows = Sweep('G', pools=(2, 8), ratios=(0.4, 1.0)).rows()
    assert [(row.pool, row.ratio) for row in rows] == [(2, 0.4), (2, 1.0), (8, 0.4), (8, 1.0)]
    assert rows[0].name == 'selective of 2N, r = 0.4' and rows[0].rule == 'selective'
    assert len(Sweep('G').rows()) == 4 * 7  # Fig. 12


def test_rows_are_read_from_a_config():
    jitter = dict(type='RandomTissueColor')
    found = read(
        rows={
            'T': dict(transforms=[jitter]),
            'S': dict(generator='G', rule='selective'),
            'N': None,
        },
        sweep=dict(generator='G', pools=[2], ratios=[0.5]),
        shares=[0.1, 0.2],
    )
    assert [row.name for row in found.rows] == ['T', 'S'], 'None takes a row away'
    assert found.rows[0].transforms == (jitter,) and not found.rows[0].generator
    assert found.selects and found.selecting == 'A' and len(found.all_rows) == 3
    assert not read().selects


def test_a_generator_of_the_command_line_takes_the_place_of_the_rows_own():
    found = read(
        ['CellGAN=folder'],
        rows=dict(S=dict(generator='G', rule='selective'), T=dict(transforms=[dict(type='x')])),
        sweep=dict(generator='G'),
    )
    assert [g.name for g in found.generators] == ['CellGAN']
    assert [row.generator for row in found.rows] == ['CellGAN', None]
    assert found.sweep.generator == 'CellGAN'


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        (dict(rows=dict(S=dict(rule='random'))), 'give transforms, or a generator'),
        (dict(rows=dict(S=dict(generator='H'))), "generator 'H' of a row is not defined"),
        (dict(rows=dict(S=dict(transforms=[dict(type='x')]))), "generator 'G' is in no row"),
        (dict(rows=dict(S=dict(generator='G', ratio=0))), 'ratio must be above 0'),
        (dict(rows=dict(S=dict(generator='G', pool=-1))), 'pool must be above 0'),
        (dict(rows=dict(S=dict(generator='G', size=3))), 'size is not one of'),
        (dict(rows=dict(S=dict(transforms=['flip']))), 'is no transform'),
        (dict(rows=dict(real=dict(generator='G'))), 'choose another name'),
        (dict(rows={'a b': dict(generator='G'), 'a/b': dict(generator='G')}), 'same folder'),
        (dict(rows=dict(S=dict(generator='G', shares=[0.3])), shares=[0.1]), 'share 0.3 is none'),
        (dict(sweep=dict(pools=[2])), 'generator is missing'),
        (dict(sweep=dict(generator='G', pools=[])), 'pools must be different numbers'),
        (dict(selection=dict(k=5)), 'k is not known'),
        (dict(selector='B'), "selector 'B' is none of the classifiers"),
        (dict(metrics=['auroc']), 'metrics must be some of'),
        (dict(shares=[0.1, 0.1]), 'shares must be different'),
        (dict(shares=[3]), 'shares must be different numbers above 0'),
        (dict(share_of='test'), 'share_of must be one of'),
        (dict(fixed_splits=True, ratios=[7, 1, 2]), 'fixed_splits=True takes'),
        (dict(fixed_splits=True), 'would all be the same'),
        (dict(steps=0), 'steps must be 1 or more'),
        (dict(generators=dict(G=dict(config='g.py', iterations=0))), 'iterations=0'),
        (dict(generators=dict(G=dict(folder='g', iterations=5))), 'iterations=5'),
    ],
)
def test_mistakes_are_named(values, words):
    with pytest.raises(ProtocolError, match=words):
        read(**values)


def test_what_synthetic_images_are_for():
    assert Augmentation('a', generator='G').use == 'added'
    with pytest.raises(ProtocolError, match="'alone', 'first'"):
        Augmentation('a', generator='G', use='only')
    with pytest.raises(ProtocolError, match='with a generator'):
        Augmentation('a', transforms=(dict(type='x'),), use='first')
