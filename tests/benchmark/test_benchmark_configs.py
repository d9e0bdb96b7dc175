"""The configs of the tables: they can be read, and say what the papers say."""

from pathlib import Path

import pytest

from cellgan_plugin.benchmark.classifier_run import read_classifier
from cellgan_plugin.benchmark.protocol import read_protocol
from cellgan_plugin.benchmark.selection_rows import check_selection

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / 'benchmarks'
CONFIGS = sorted(
    [*FOLDER.glob('*_table*.py'), *FOLDER.glob('*_fig*.py'), *FOLDER.glob('augmentation_*.py')]
)
CONFIGS = [path for path in CONFIGS if not path.name.startswith('_')]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_can_be_read(path):
    leak = 'paper' if path.stem == 'cellgan_table3_tct' else None
    found = read_protocol(path, leak=leak)
    check_selection(found, {n: read_classifier(c) for n, c in found.classifiers.items()})
    for generator in found.generators:
        assert generator.config is None or Path(generator.config).is_file()


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_paths_are_relative_to_the_file_that_says_them(path, tmp_path):
    child = tmp_path / 'elsewhere' / 'mine.py'
    child.parent.mkdir()
    child.write_text(f"_base_ = '{path}'\ntitle = 'Mine'\n")
    leak = 'paper' if path.stem == 'cellgan_table3_tct' else None
    inherited, original = read_protocol(child, leak=leak), read_protocol(path, leak=leak)
    assert inherited.classifiers == original.classifiers
    assert [g.config for g in inherited.generators] == [g.config for g in original.generators]


def rows_of(name):
    found = read_protocol(FOLDER / f'{name}.py')
    return found, {row.name: row for row in found.rows}


def test_table_1():
    found, rows = rows_of('histogan_table1_cervical')
    assert found.classes == ('Normal', 'CIN1', 'CIN2', 'CIN3') and found.ratios == (7, 1, 2)
    assert (found.num_folds, len(found.seeds), found.per_class) == (1, 5, None)
    assert found.metrics == ('accuracy', 'auc', 'sensitivity', 'specificity')
    assert list(rows) == ['Traditional augmentation', 'Stain augmentation', 'GAN augmentation',
                          'Single filtering', 'Selective augmentation']  # fmt: skip
    assert [t['type'] for t in rows['Traditional augmentation'].transforms] == [
        'RandomCellFlip', 'RandomTissueColor'
    ]  # fmt: skip
    assert [t['type'] for t in rows['Stain augmentation'].transforms] == [
        'RandomCellFlip', 'RandomStain'
    ]  # fmt: skip
    assert [row.rule for row in found.rows[2:]] == ['none', 'single_filtering', 'selective']
    for row in found.rows[2:]:
        assert row.ratio == 0.5 and row.candidates(100) == 200 and not row.transforms
    # The baseline is without augmentation, in training as in the paper.
    pipeline = read_classifier(found.classifiers['ResNet']).train_dataloader.dataset.pipeline
    assert [step.type for step in pipeline] == ['FitCellPatch', 'mmpretrain.PackInputs']
    assert pipeline[0].out_size == (256, 128)


def test_table_2():
    found, rows = rows_of('histogan_table2_pcam')
    assert found.fixed_splits and found.shares == (0.03, 0.05, 0.1, 0.2)
    assert found.share_of == 'all' and found.classes == ('normal', 'tumor')
    assert {name: row.shares for name, row in rows.items()} == {
        'Traditional augmentation': (0.1,), 'Stain augmentation': (0.1,),
        'GAN augmentation': (0.1,),
        'Selective augmentation': None,
    }  # fmt: skip


def test_figure_12():
    found, rows = rows_of('histogan_fig12_cervical')
    assert found.sweep.pools == (2, 4, 6, 8) and found.sweep.rule == 'selective'
    assert found.sweep.ratios == (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    table, _ = rows_of('histogan_table1_cervical')
    assert found.rows == table.rows and found.seeds == table.seeds, 'one work directory for both'
