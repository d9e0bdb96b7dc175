import os
import signal

os.environ.setdefault('CELLGAN_FAST_START', '1')  # before MMEngine is imported, and for the tools

import pytest
import torch
from mmengine import MessageHub
from mmengine.registry import DefaultScope

# Before a test file imports MMagic, which needs its repairs beside new packages.
import cellgan_plugin  # noqa: F401

torch.set_num_threads(1)
# A shell's background job ignores Ctrl-C, and hands on: tests that interrupt would wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files that run whole tools go first, so that files which run side by side end together."""
    items.sort(key=lambda item: not {'end_to_end', 'tools'} & set(item.path.parts))


@pytest.fixture
def mmagic_scope():
    """What a Runner sets up: MMagic's registries as the default, and a message hub of its own."""
    hubs = dict(MessageHub._instance_dict)
    MessageHub._instance_dict.clear()
    with DefaultScope.overwrite_default_scope('mmagic'):
        yield MessageHub.get_current_instance()
    MessageHub._instance_dict.clear()
    MessageHub._instance_dict.update(hubs)


@pytest.fixture(scope='module', autouse=True)
def default_scopes_end_with_their_file():
    """A run makes the registries of its package the default: not for the next file of tests."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)
