"""Commands of the docs: the tool exists and takes these arguments; nothing is run here.

Which of them a test runs at a small size, and which need the paper's images or days, is listed.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

import pytest
from docs_commands import commands
from tool_parsers import load_tool

REPO = Path(__file__).resolve().parents[1]
PAGES = [
    REPO / 'README.md',
    *sorted(p for p in (REPO / 'docs').glob('*.md') if '```bash' in p.read_text('utf-8')),
]
# Configs of commands in the docs that no test runs, not even smaller: they need images that are
# not in this repository, or hours. That they can be read is tested with all other configs.
PAPER_SIZED = {
    'augmentation_phantom',
    'biggan_cric', 'biggan_tct', 'biggan_tct_128', 'biggan_tct_diffaug', 'cellgan_plus_demo',
    'cellgan_plus_parts_phantom', 'cellgan_plus_settings_phantom',
    'cellgan_table1_cric_64', 'cellgan_table3_cric_64',
    'cellgan_tct_modulate',
    'histogan_fig12_tissue_phantom', 'histogan_glas', 'histogan_parts_tissue_phantom',
    'histogan_table1_cric_64',
    'histogan_plus_tissue_phantom', 'histogan_table1_tissue_phantom', 'ldm_phantom_fd', 'model_ii',
    'cellgan_skips_phantom', 'pyramid_phantom_perceptual', 'pyramid_phantom_types',
    'pyramid_plus_phantom', 'resnet18_gland_phantom',
    'segmentation_glas_64',
    'shared_generator_cric_64', 'shared_generator_phantom',
    'sngan_proj_tct',
}  # fmt: skip
# Tools of commands in the docs that no test runs as a program: what they call is tested.
TOOLS_NOT_RUN = {
    'tools/benchmarks/distances.py',
    'tools/benchmarks/gpu_wheels.py',
    'tools/benchmarks/loader.py',
    'tools/benchmarks/selection.py',
    'tools/benchmarks/startup.py',
    'tools/benchmarks/synthesis.py',
    'tools/benchmarks/training_memory.py',
    'tools/dist_test.sh',
    'tools/interpolate.py',
}


class Parsed(Exception):
    """The command line was understood."""


def tool_of(words):
    """(path of the tool, its arguments) of a command; (None, ...) of other programs."""
    if words[0] == 'torchrun':
        words = ['python', *(word for word in words[1:] if not word.startswith('--nproc'))]
    if words[0] == 'python' and len(words) > 1 and words[1].startswith('tools/'):
        return words[1], words[2:]
    if words[0].startswith('tools/'):
        return words[0], words[1:]
    return None, words


ALL = [(page.name, words) for page in PAGES for words in commands(page)]


def parse(path, arguments, monkeypatch):
    """Let a tool read a command line, and no more."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(self, args=None, namespace=None):
        original(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(sys, 'argv', [path, *arguments])
    monkeypatch.setattr(sys, 'path', [str((REPO / path).parent), *sys.path])
    # Files of the user's are not here.
    monkeypatch.setattr('cellgan_plugin.runs.command_line.import_user_modules', lambda names: None)
    tool = load_tool(REPO / path)
    monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', parse_args)
    with pytest.raises(Parsed):
        tool.main()


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_tools_take_the_arguments_of_the_docs(page, monkeypatch, capsys):
    targets = re.findall(r'^([\w-]+):', (REPO / 'Makefile').read_text(), re.MULTILINE)
    wrong = []
    for words in commands(page):
        path, arguments = tool_of(words)
        if words[0] == 'make' and words[1] not in targets:
            wrong.append(f'{shlex.join(words)}: no such target')
        if path is None or not path.endswith('.py'):
            continue
        # A rule, distance or score of the page on extensions is registered by its module.
        known = [('agreeing', 'selective'), ('centre', 'kid')] if '--import' in words else []
        arguments = [dict(known).get(word, word) for word in arguments]
        try:
            with monkeypatch.context() as patch:
                parse(path, arguments, patch)
        except SystemExit as stopped:
            if stopped.code == 0:  # --help
                continue
            lines = [str(stopped.code), *capsys.readouterr().err.splitlines()]
            wrong.append(f'{shlex.join(words)}: {lines[-1]}')
    assert not wrong


def test_every_tool_of_the_docs_is_run_by_a_test_or_listed():
    tests = ''.join(p.read_text('utf-8') for p in (REPO / 'tests').rglob('*.py')
                    if p != Path(__file__))  # fmt: skip
    named = {path for _, words in ALL if (path := tool_of(words)[0])}
    assert {path for path in named if Path(path).name not in tests} == TOOLS_NOT_RUN


def test_every_config_of_the_docs_is_run_by_a_test_or_listed_as_paper_sized():
    tests = ''.join(p.read_text('utf-8') for p in (REPO / 'tests').rglob('*.py')
                    if p != Path(__file__))  # fmt: skip
    stems = {
        Path(name).stem
        for _, words in ALL
        for word in words
        for name in re.findall(r'configs/[\w/]+\.py', word)
    }
    assert {stem for stem in stems if not re.search(rf'\b{stem}\b', tests)} == PAPER_SIZED
