import sys
from pathlib import Path

TOOLS = Path(__file__).parents[1] / 'tools'


def test_no_tool_hides_a_module_of_python():
    # `python tools/train.py` puts tools/ first on the path: a tools/select.py there would be what
    # the standard library's own `import select` finds, in every tool.
    names = {
        path.stem for folder in TOOLS.rglob('*') if folder.is_dir() for path in folder.glob('*.py')
    }
    names |= {path.stem for path in TOOLS.glob('*.py')}
    assert not names & sys.stdlib_module_names


def test_every_speed_tool_says_errors_as_the_others_do():
    # The first starts programs that do; the second runs where the package is not installed.
    programs = [
        p for p in (TOOLS / 'benchmarks').glob('*.py') if '__main__' in p.read_text('utf-8')
    ]
    without = {p.stem for p in programs if 'with user_errors():' not in p.read_text('utf-8')}
    assert without == {'gpu', 'gpu_wheels'}
