import json
from types import SimpleNamespace

import pytest
import recipes

from cellgan_plugin.visualization.report_tables import write_report_table


def found(config, seed, distance, recall=0.5):
    values = {'FD(net)': distance, 'recall': recall, 'coverage': 0.25, 'KD(net)': 0.0}
    rows = [dict(row=name, values=values) for name in ('NILM', 'HSIL', 'mean', 'pooled')]
    return dict(config=config, seed=seed, iterations=100, cpu_seconds=60.0, rows=rows)


def test_the_table_has_a_row_per_run_and_marks_the_best(tmp_path):
    runs = [found('configs/a.py', 0, 7.5), found('configs/a.py', 1, 8.5), found('b.py', 0, 3.25)]
    table = recipes.table(runs, minutes=3)
    files = write_report_table(tmp_path, 'recipes', table)
    text = files[0].read_text(encoding='utf-8')
    assert '| a | 1 | 8.50 | 8.50 | 8.50 |' in text
    assert '| b | 0 | **3.25** | **3.25** | **3.25** |' in text
    assert 'FD(net); 3 processor minutes each' in text and 'pooled' not in text


def test_a_run_stops_by_the_processor_and_is_judged_once():
    config = recipes.budgeted('configs/cellgan_plus/cellgan_plus_phantom.py', 2.5, seed=3)
    (budget,) = [hook for hook in config.custom_hooks if hook.type == 'TimeBudgetHook']
    assert (budget.minutes, budget.clock) == (2.5, 'cpu')
    assert config.randomness.seed == 3
    assert config.train_cfg.val_interval == config.train_cfg.max_iters > 10**6
    assert config.model.generator.style == 'class_noise'


def test_a_complete_run_is_read_and_not_repeated(tmp_path, monkeypatch):
    folder = tmp_path / 'a' / 'seed_1'
    folder.mkdir(parents=True)
    expected = found('configs/a.py', 1, 2.0)
    (folder / 'result.json').write_text(json.dumps(expected), encoding='utf-8')
    monkeypatch.setattr(recipes, 'train', lambda *args, **kwargs: pytest.fail('trained again'))
    args = SimpleNamespace(out=tmp_path, cpu_minutes=1, amp=False, cfg_options=None)
    assert recipes.run('configs/a.py', 1, args) == expected


def test_configs_of_one_name_are_refused(monkeypatch, capsys, tmp_path):
    argv = ['recipes.py', 'a/x.py', 'b/x.py', '--out', str(tmp_path)]
    monkeypatch.setattr('sys.argv', argv)
    with pytest.raises(SystemExit):
        recipes.main()
    assert 'same name' in capsys.readouterr().err
