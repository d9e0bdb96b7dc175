from types import SimpleNamespace

import cv2
import numpy as np
from mmengine.logging import HistoryBuffer, MessageHub

from cellgan_plugin.engine.hooks.logged_iterations import draw_run_curves, note_logged
from cellgan_plugin.visualization import curves
from cellgan_plugin.visualization.curves import draw_curves, smoothed
from cellgan_plugin.visualization.figures import save_figure
from cellgan_plugin.visualization.iteration_runs import add_iteration, iterations_of


def test_smoothing_is_the_mean_of_the_last_values():
    values = np.array([1.0, 3.0, 5.0, 7.0])
    assert smoothed(values, 1).tolist() == values.tolist()
    assert smoothed(values, 2).tolist() == [1.0, 2.0, 4.0, 6.0]
    assert smoothed(values, 99).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_one_panel_for_each_kind_of_curve(tmp_path):
    history = HistoryBuffer(np.linspace(1, 0, 50).tolist(), [1] * 50)
    heights = []
    for names in (['loss_gen'], ['loss_gen', 'loss_r1'], ['loss_gen', 'loss_r1', 'disc_real']):
        scalars = {f'train/{name}': history for name in names}
        scalars['train/time'] = history  # not drawn
        picture = cv2.imread(str(draw_curves(scalars, tmp_path / 'curves.png')))
        assert picture.std() > 0
        heights.append(picture.shape[0])
    assert heights[1] == 2 * heights[0] and heights[2] == 3 * heights[0]


def drawn_lines(monkeypatch, scalars, path, iterations=None):
    """The (x, y) of every curve of a picture, by its label."""
    figures = []
    monkeypatch.setattr(
        curves,
        'save_figure',
        lambda figure, path: figures.append(figure) or save_figure(figure, path),
    )
    draw_curves(scalars, path, iterations=iterations)
    return {
        line.get_label(): line.get_xydata() for axes in figures[0].axes for line in axes.get_lines()
    }


def test_a_loss_of_every_second_iteration_is_drawn_over_all_of_them(tmp_path, monkeypatch):
    scalars = {
        'train/loss_disc': HistoryBuffer(list(range(1, 101)), [1] * 100),
        'train/loss_gen': HistoryBuffer(list(range(2, 101, 2)), [1] * 50),
        'train/loss_r1': HistoryBuffer(list(range(81, 101)), [1] * 20),  # switched on late
    }
    runs = {}
    for iteration in range(1, 101):
        for name, logged in (
            ('loss_disc', True), ('loss_gen', iteration % 2 == 0), ('loss_r1', iteration > 80),
        ):  # fmt: skip
            if logged:
                add_iteration(runs.setdefault(f'train/{name}', []), iteration)
    assert runs['train/loss_gen'] == [[2, 2, 50]]
    lines = drawn_lines(monkeypatch, scalars, tmp_path / 'curves.png', runs)
    # Every value stands at its own iteration.
    for label, (first, last, count) in {
        'disc': (1, 100, 100), 'gen': (2, 100, 50), 'r1': (81, 100, 20),
    }.items():  # fmt: skip
        x, y = lines[label].T
        np.testing.assert_array_equal(x, y)
        assert (x[0], x[-1], len(x)) == (first, last, count)
    # A checkpoint of an older version does not know: as before, they end together.
    x = drawn_lines(monkeypatch, scalars, tmp_path / 'curves.png')['gen'][:, 0]
    assert (x[0], x[-1]) == (51, 100)


def test_iterations_are_kept_as_runs():
    rng = np.random.default_rng(0)
    for kept in ([1, 2, 3], [5], [2, 4, 7, 8, 9, 20], np.flatnonzero(rng.random(300) < 0.4) + 1):
        runs = []
        for iteration in kept:
            add_iteration(runs, int(iteration))
        np.testing.assert_array_equal(iterations_of(runs, len(kept), 999), kept)
    runs = [[10, 2, 3]]  # 10, 12, 14
    assert iterations_of(runs, 2, 14).tolist() == [12, 14]  # older values were dropped
    assert iterations_of(runs, 5, 14).tolist() == [8, 9, 10, 12, 14]  # older ones not noted
    assert iterations_of([], 3, 14).tolist() == [12, 13, 14]


def test_a_run_notes_the_iterations_of_what_it_logs(tmp_path):
    hub = MessageHub.get_instance(f'curves-{tmp_path.name}')
    runner = SimpleNamespace(message_hub=hub, iter=0, hooks=[])
    for runner.iter in range(6):
        outputs = {'loss_disc': 1.0, **({'loss_gen': 2.0} if runner.iter % 2 else {})}
        for key, value in outputs.items():
            hub.update_scalar(f'train/{key}', value)
        note_logged(runner, outputs)
        if runner.iter == 3:
            # A resumed run goes on with what its checkpoint knows.
            state = hub.state_dict()
            hub = runner.message_hub = MessageHub.get_instance(f'resumed-{tmp_path.name}')
            hub.load_state_dict(state)
    assert hub.get_info('logged_iterations') == {
        'train/loss_disc': [[1, 1, 6]], 'train/loss_gen': [[2, 2, 3]],
    }  # fmt: skip
    assert draw_run_curves(runner, tmp_path / 'curves.png').is_file()
