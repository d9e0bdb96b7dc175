"""What lies beside the code agrees with it."""

import re
from pathlib import Path

import pytest
import yaml

from cellgan_plugin import __version__

REPO = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((REPO / '.github' / 'workflows').glob('*.yml'))


def pinned(package):
    text = (REPO / 'requirements' / 'constraints.txt').read_text(encoding='utf-8')
    (version,) = re.findall(rf'^{package}==(\S+)', text, flags=re.MULTILINE)
    return version


def load(path):
    return yaml.safe_load((REPO / path).read_text(encoding='utf-8'))


def test_the_citation_is_of_this_version_and_names_the_papers():
    citation = load('CITATION.cff')
    assert citation['version'] == __version__
    assert citation['license'] == 'Apache-2.0'
    assert 'Version 2.0, January 2004' in (REPO / 'LICENSE').read_text(encoding='utf-8')
    titles = [paper['title'] for paper in citation['references']]
    for title, word in zip(titles, ('CellGAN', 'HistoGAN', 'segmentation'), strict=True):
        assert word in title
    assert all(paper['authors'] and paper['year'] for paper in citation['references'])


def test_the_changelog_has_this_version():
    text = (REPO / 'CHANGELOG.md').read_text(encoding='utf-8')
    assert re.search(rf'^## {re.escape(__version__)}\b', text, flags=re.MULTILINE)


def test_ruff_is_of_one_version_everywhere():
    hooks = {repo['repo']: repo['rev'] for repo in load('.pre-commit-config.yaml')['repos']}
    assert hooks['https://github.com/astral-sh/ruff-pre-commit'] == f'v{pinned("ruff")}'
    assert f'ruff=={pinned("ruff")}\n' in (REPO / 'requirements' / 'docs.txt').read_text()


@pytest.mark.parametrize('path', WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_exists(path):
    workflow = load(path)
    assert workflow['permissions'] == {'contents': 'read'}
    steps = [step for job in workflow['jobs'].values() for step in job['steps']]
    commands = [step['run'] for step in steps if 'run' in step]
    makefile = (REPO / 'Makefile').read_text(encoding='utf-8')
    for command in commands:
        for target in re.findall(r'\bmake (\w+)', command):
            assert re.search(rf'^{target}:', makefile, flags=re.MULTILINE), command
        for name in re.findall(r'\b(?:tests|requirements)/[\w/]+\.\w+', command):
            assert (REPO / name).is_file(), command


def test_every_python_that_is_supported_is_tested():
    workflow = load('.github/workflows/tests.yml')
    tested = workflow['jobs']['pytest']['strategy']['matrix']['python']
    setup = (REPO / 'setup.py').read_text(encoding='utf-8')
    low, high = re.search(r"python_requires='>=3\.(\d+),<3\.(\d+)'", setup).groups()
    assert tested == [f'3.{minor}' for minor in range(int(low), int(high))]


@pytest.mark.parametrize('name', ['bug', 'feature'])
def test_issue_forms_have_what_github_asks_for(name):
    form = load(f'.github/ISSUE_TEMPLATE/{name}.yml')
    assert form['name'] and form['description']
    fields = [field for field in form['body'] if field['type'] != 'markdown']
    assert len({field['id'] for field in fields}) == len(fields)
    assert all(field['attributes']['label'] for field in fields)
    if name == 'bug':
        asked = {field['id']: field['attributes'].get('description', '') for field in fields}
        assert 'python -m cellgan_plugin.report' in asked['report']
