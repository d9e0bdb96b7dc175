"""What segmentation says of a mistake, its metric on two processes; test_readme.py has the rest."""

from PIL import Image

from .conftest import REPO, run_on_two_ranks, run_tool


def test_mistakes_end_with_one_message(tmp_path):
    (tmp_path / 'images').mkdir()
    Image.new('RGB', (64, 64)).save(tmp_path / 'images/a.png')
    done = run_tool(
        'tools/segment.py', REPO / 'configs/pyramid_gan/fc_densenet_phantom.py', tmp_path,
        tmp_path / 'images', '--out', tmp_path / 'out', check=False,
    )  # fmt: skip
    assert done.returncode == 2 and 'has no checkpoint: train first' in done.stderr
    assert 'Traceback' not in done.stderr


def test_metric_on_two_ranks():
    done = run_on_two_ranks(REPO / 'tests' / 'end_to_end' / 'segmentation_worker.py')
    assert done.stdout.count('ranks agree') == 2
