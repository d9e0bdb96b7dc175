"""Command lines of the tools, without running them."""

import importlib
import importlib.util
from pathlib import Path

TOOLS = Path(__file__).parents[1] / 'tools'
# Tools whose program is a module of the package.
_PROGRAMS = {'train': 'cellgan_plugin.runs.train', 'compare': 'cellgan_plugin.comparison.compare'}


def load_tool(path):
    """The module of a tool's file."""
    specification = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    return tool


def parser_of(path):
    """The parser of a tool in tools/."""
    program = _PROGRAMS.get(path.stem) if path.parent == TOOLS else None
    tool = importlib.import_module(program) if program else load_tool(path)
    return tool.make_parser()
