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
