"""Nothing that comes from outside is executed: which calls may read what, found in the source."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest

from cellgan_plugin.evaluation.statistics_cache import load_cached

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted(
    [*(REPOSITORY / 'cellgan_plugin').rglob('*.py'), *(REPOSITORY / 'tools').rglob('*.py')]
)
# Calls that run what they read, and the files that may hold them: with why.
ALLOWED = {
    'torch.load': {'cellgan_plugin/checkpoint_reading.py'},  # weights_only, or told to trust
    'pickle.loads': {'datasets/checked_dataset.py'},  # rows of its own memory
}
RUN_WHAT_THEY_READ = {
    'torch.load', 'pickle.load', 'pickle.loads', 'joblib.load', 'dill.load', 'cloudpickle.load',
    'yaml.load', 'yaml.unsafe_load', 'marshal.loads', 'shelve.open', 'eval', 'exec', 'os.system',
    'os.popen', 'torch.jit.load', 'torch.hub.load', 'pandas.read_pickle', 'pd.read_pickle',
}  # fmt: skip


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_call_runs_what_it_reads(path):
    for name, node in calls(path):
        where = f'{path}:{node.lineno}: {name}'
        allowed = any(str(path).endswith(end) for end in ALLOWED.get(name, ()))
        assert name not in RUN_WHAT_THEY_READ or allowed, where
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in ('np.load', 'numpy.load'):
            assert keywords.get('allow_pickle') == 'False', where
        if name.startswith('subprocess.'):
            assert keywords.get('shell', 'False') == 'False', where


class RunsCode:
    """Opening it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_a_planted_cache_of_features_is_not_run(tmp_path):
    planted, owned = tmp_path / 'key.npz', tmp_path / 'owned'
    payload = np.array([RunsCode(owned)], dtype=object)
    np.savez(planted, key='k', labels=payload, features=payload)
    assert load_cached(planted, 'k', 1) is None
    buffer = io.BytesIO()
    np.save(buffer, payload, allow_pickle=True)
    planted.write_bytes(buffer.getvalue())
    assert load_cached(planted, 'k', 1) is None
    assert not owned.exists()
