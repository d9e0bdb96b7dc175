"""A user's own modules: imported by the tools, their configs and their jobs."""

import os
import subprocess
import sys

import pytest
from mmengine.config import Config
from tool_parsers import TOOLS, parser_of

from cellgan_plugin.runs.command_line import ToolParser, user_errors
from cellgan_plugin.runs.config_values import read_settings
from cellgan_plugin.runs.job_program import job_program
from cellgan_plugin.selection import SELECTION_RULES
from cellgan_plugin.user_modules import (
    IMPORT_VARIABLE,
    UserModuleError,
    import_user_modules,
    read_config,
)

# Tools that build nothing from a registry, or start one that does.
WITHOUT = {'dist_launch'}


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """Path, modules and environment as before."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    for name in (IMPORT_VARIABLE, 'PYTHONPATH'):
        monkeypatch.setenv(name, os.environ.get(name, ''))
    monkeypatch.chdir(tmp_path)
    yield
    for name in set(sys.modules) - before:
        if name.partition('.')[0].startswith('mine'):
            del sys.modules[name]


def test_module_file_and_package_are_imported_here_and_in_processes_started_from_here(tmp_path):
    (tmp_path / 'mine_beside.py').write_text('VALUE = 1\n')
    (tmp_path / 'mine_package').mkdir()
    (tmp_path / 'mine_package' / '__init__.py').write_text('')
    (tmp_path / 'mine_package' / 'rules.py').write_text('VALUE = 2\n')
    other = tmp_path / 'elsewhere'
    other.mkdir()
    (other / 'mine_file.py').write_text('VALUE = 3\n')
    import_user_modules(['mine_beside', 'mine_package.rules', 'elsewhere/mine_file.py'])
    import_user_modules(['mine_beside'])  # again: nothing new
    assert sys.modules['mine_beside'].VALUE + sys.modules['mine_package.rules'].VALUE == 3
    assert sys.modules['mine_file'].VALUE == 3
    assert os.environ[IMPORT_VARIABLE].split(os.pathsep) == [
        'mine_beside', 'mine_package.rules', str(other / 'mine_file.py'),
    ]  # fmt: skip
    program = (
        'import sys; from cellgan_plugin.user_modules import import_modules_of_environment\n'
        'import_modules_of_environment()\n'
        'print(sum(sys.modules[name].VALUE for name in '
        '("mine_beside", "mine_package.rules", "mine_file")))'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=other, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ['6']


@pytest.mark.parametrize(
    ('text', 'module', 'message'),
    [
        (None, 'mine_missing', "no module 'mine_missing'"),
        (None, 'mine_missing.py', 'there is no file .*mine_missing.py'),
        ('import absent_xyz\n', 'mine_one', 'fails: ModuleNotFoundError.*mine_one.py, line'),
        ('\n\nraise KeyError(1)\n', 'mine_two', r'fails: KeyError.*mine_two.py, line 3\)'),
        ('def broken(:\n', 'mine_three', 'mine_three fails: SyntaxError.*line 1'),
        ('', 'json.py', "another module is called 'json'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_module_is_said(tmp_path, text, module, message):
    if text is not None:
        name = module if module.endswith('.py') else f'{module}.py'
        (tmp_path / name).write_text(text)
    with pytest.raises(UserModuleError, match=message):
        import_user_modules([module])
    assert module not in os.environ[IMPORT_VARIABLE]


def test_custom_imports_of_a_config_are_imported_and_their_failure_names_the_config(tmp_path):
    (tmp_path / 'mine_config.py').write_text('VALUE = 1\n')
    path = tmp_path / 'config.py'
    path.write_text("custom_imports = dict(imports=['mine_config'])\n")
    read_config(path)
    assert 'mine_config' in sys.modules
    assert 'mine_config' not in os.environ[IMPORT_VARIABLE]  # whoever reads the config imports it
    path.write_text("custom_imports = dict(imports='mine_absent')\n")
    with pytest.raises(UserModuleError, match='config.py, custom_imports: there is no module'):
        read_config(path)
    path.write_text("custom_imports = dict(imports='mine_absent', allow_failed_imports=True)\n")
    assert isinstance(read_config(path), Config)


def test_custom_imports_of_an_experiment_reach_its_jobs(tmp_path):
    from cellgan_plugin.benchmark.protocol import Protocol

    (tmp_path / 'mine_experiment.py').write_text('')
    path = tmp_path / 'benchmark.py'
    path.write_text("custom_imports = dict(imports=['mine_experiment'])\nepochs = 3\n")
    _, values = read_settings(Protocol, path, None, {}, 'benchmark')
    assert values == dict(epochs=3)
    assert os.environ[IMPORT_VARIABLE] == 'mine_experiment'


def test_what_an_imported_module_registers_is_a_choice(tmp_path, capsys):
    (tmp_path / 'mine_choice.py').write_text('import sys\nsys.mine_choices["b"] = 2\n')
    sys.mine_choices = choices = dict(a=1)
    parser = ToolParser('A tool.')
    parser.add_argument('--which', choices=choices)
    assert parser.parse_args(['--which', 'b', '--import', 'mine_choice']).which == 'b'
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(['--import', 'mine_nothing'])
    assert stopped.value.code == 2
    assert "--import: there is no module 'mine_nothing'" in capsys.readouterr().err


def test_a_rule_of_ones_own_is_a_choice_of_the_selecting_tool(tmp_path, capsys):
    (tmp_path / 'mine_rule.py').write_text(
        'from cellgan_plugin.selection import SELECTION_RULES, SelectionRule\n'
        "@SELECTION_RULES.register_module(name='mine')\n"
        'class Mine(SelectionRule):\n'
        '    pass\n'
    )
    words = 'pool --real data --classifier a b --out out --rule mine'.split()
    parser = parser_of(TOOLS / 'select_images.py')
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert "invalid choice: 'mine'" in capsys.readouterr().err
    assert parser.parse_args([*words, '--import', 'mine_rule.py']).rule == 'mine'
    del SELECTION_RULES.module_dict['mine']


def test_an_error_of_a_library_bears_the_line_of_the_users_module(tmp_path, capsys):
    (tmp_path / 'mine_singular.py').write_text(
        'import numpy as np\ndef inverse():\n    return np.linalg.inv(np.zeros((2, 2)))\n'
    )
    import_user_modules(['mine_singular'])
    with pytest.raises(SystemExit), user_errors():
        sys.modules['mine_singular'].inverse()
    said = capsys.readouterr().err
    assert said == f'\nerror: Singular matrix ({tmp_path / "mine_singular.py"}, line 3)\n'
    with pytest.raises(SystemExit), user_errors():
        raise ValueError('of the plugin')
    assert capsys.readouterr().err == '\nerror: of the plugin\n'


def test_a_job_imports_the_modules_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / 'mine_job.py').write_text('')
    monkeypatch.setenv(IMPORT_VARIABLE, str(tmp_path / 'mine_job.py'))
    ran = []
    assert job_program(lambda path: ran.append((path, 'mine_job' in sys.modules)), '', ['x']) == 0
    assert ran == [('x', True)]


@pytest.mark.parametrize(
    'path',
    [path for path in sorted(TOOLS.glob('*.py')) if path.stem not in WITHOUT],
    ids=lambda path: path.stem,
)
def test_every_tool_imports_modules(path):
    assert isinstance(parser_of(path), ToolParser)
