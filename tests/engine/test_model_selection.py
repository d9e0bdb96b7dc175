import json
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub, MMLogger

from cellgan_plugin.engine import ModelSelectionHook, ResumableTrainLoop
from cellgan_plugin.engine.hooks import model_selection_hook
from cellgan_plugin.evaluation.distances import smoothed_curve

DISTANCES = {100: 9.0, 200: 4.0, 300: 8.0, 400: 3.0, 500: 3.5, 600: 9.0}
KEY = 'FD(tiny)/mean'
# One distance over all images is at its minimum elsewhere.
POOLED_DISTANCES = {100: 9.0, 200: 2.0, 300: 1.0, 400: 5.0, 500: 6.0, 600: 7.0}
POOLED = 'FD(tiny)/pooled'


class Loop(ResumableTrainLoop):
    """An iteration loop that holds nothing but its numbers."""

    def __init__(self, runner):
        self._runner = runner
        self.val_begin, self.val_interval = 1, 100

    @property
    def _iter(self):
        return self.runner.iter


class FakeRunner:
    """What the hook asks of a Runner; checkpoints are files that hold the hub's state."""

    def __init__(self, work_dir, hub_name, state=None, iteration=0, **hook):
        self.work_dir, self.iter, self.epoch = str(work_dir), iteration, 0
        self.logger = MMLogger.get_instance(f'logger_{hub_name}')
        self.message_hub = MessageHub.get_instance(hub_name)
        if state is not None:
            self.message_hub.update_info('model_selection', state)
        self.train_loop = Loop(self)
        self.val_loop = SimpleNamespace(run=self.validate)
        self.validated = []
        self.hook = ModelSelectionHook(**hook)

    def validate(self):
        self.validated.append(self.iter)
        self.hook.after_val_epoch(
            self,
            {KEY: DISTANCES[self.iter], 'FD(tiny)/NILM': 1.0, POOLED: POOLED_DISTANCES[self.iter]},
        )

    def save_checkpoint(self, out_dir, filename, save_optimizer, meta, **kwargs):
        assert not save_optimizer and meta['iter'] == self.iter
        with open(f'{out_dir}/{filename}', 'w') as file:
            file.write('weights')

    def train(self, start, stop):
        self.iter = start
        self.hook.before_train(self)
        self.hook.before_train_epoch(self)
        states = {}
        for iteration in range(start + 100, stop + 1, 100):
            self.iter = iteration
            # As in the loop: the checkpoint is written before the validation of its iteration.
            states[iteration] = self.message_hub.get_info('model_selection')
            self.validate()
        return states


@pytest.fixture
def hub(request):
    return request.node.name


def best_files(folder):
    return [path.name for path in folder.glob('best_*')]


def test_one_distance_over_all_images_is_a_choice(tmp_path, hub):
    runner = FakeRunner(tmp_path, hub, row='pooled')
    states = runner.train(0, 400)
    assert best_files(tmp_path) == ['best_iter_300.pth'] and runner.hook.metric == POOLED
    assert [value for _, value in runner.hook.curve] == [9.0, 2.0, 1.0, 5.0]
    # Resumed by the other row: the curve is that of the other row from its start.
    again = FakeRunner(tmp_path, hub, state=states[400])
    again.train(400, 500)
    assert again.hook.metric == KEY
    assert again.hook.curve == [[i, DISTANCES[i]] for i in (100, 200, 300, 400, 500)]
    assert again.hook.best['iteration'] in (400, 500)
    for wrong in (dict(row='NILM'), dict(metric=KEY, row='pooled')):
        with pytest.raises(ValueError, match='row='):
            ModelSelectionHook(**wrong)


def test_keeps_the_minimum_of_the_smoothed_curve(tmp_path, hub):
    runner = FakeRunner(tmp_path, hub)
    runner.train(0, 600)
    smooth = smoothed_curve(list(DISTANCES.values()))
    expected = list(DISTANCES)[int(smooth.argmin())]
    assert expected == 500  # not 400, the minimum of the raw curve
    assert best_files(tmp_path) == ['best_iter_500.pth']
    state = json.loads((tmp_path / 'model_selection.json').read_text())
    assert state['metric'] == KEY and state['best']['iteration'] == 500
    assert state['curve'] == [[i, v] for i, v in DISTANCES.items()]
    assert state['rows']['300'] == dict(mean=8.0, NILM=1.0, pooled=1.0)
    assert (tmp_path / 'distances.png').read_bytes()[:4] == b'\x89PNG'
    logged = runner.message_hub.get_scalar(f'val/{KEY} smoothed').data[0]
    assert list(logged) == pytest.approx(list(smooth))


@pytest.mark.parametrize('kept', ['file and checkpoint', 'checkpoint', 'damaged file'])
@pytest.mark.parametrize('stopped', [200, 300, 500])
def test_a_resumed_run_chooses_as_one_that_was_not_stopped(
    tmp_path, hub, kept, stopped, monkeypatch
):
    monkeypatch.setattr(model_selection_hook, 'draw_distance_curves', lambda *args: None)
    (tmp_path / 'straight').mkdir()
    FakeRunner(tmp_path / 'straight', hub + 's').train(0, 600)
    straight = json.loads((tmp_path / 'straight' / 'model_selection.json').read_text())

    work_dir = tmp_path / 'resumed'
    work_dir.mkdir()
    # Went on to 600, but resumes from an older checkpoint.
    states = FakeRunner(work_dir, hub + 'a').train(0, 600)
    if kept != 'file and checkpoint':
        for path in work_dir.glob('best_*'):
            path.unlink()
        text = None if kept == 'checkpoint' else '{"curve": [[100,'
        (work_dir / 'model_selection.json').unlink()
        if text:
            (work_dir / 'model_selection.json').write_text(text)
    runner = FakeRunner(work_dir, hub + 'b', states[stopped])
    runner.iter = stopped
    runner.hook.before_train(runner)
    done = [i for i in DISTANCES if i <= stopped - (kept != 'file and checkpoint')]
    assert [i for i, _ in runner.hook.curve] == list(runner.hook.rows) == done  # nothing to come
    runner.train(stopped, 600)
    # The validation of the checkpoint's own iteration is not in the checkpoint.
    assert (runner.validated[0] == stopped) == (kept != 'file and checkpoint')
    resumed = json.loads((work_dir / 'model_selection.json').read_text())
    assert resumed['curve'] == straight['curve'] and resumed['rows'] == straight['rows']
    assert resumed['best']['iteration'] == straight['best']['iteration']
    assert best_files(work_dir) == best_files(tmp_path / 'straight')


def test_of_equal_distances_the_earlier_checkpoint_stays(tmp_path, hub, monkeypatch):
    monkeypatch.setattr(model_selection_hook, 'draw_distance_curves', lambda *args: None)
    monkeypatch.setitem(DISTANCES, 200, DISTANCES[100])
    FakeRunner(tmp_path, hub).train(0, 200)
    assert best_files(tmp_path) == ['best_iter_100.pth']


def test_a_new_run_in_the_same_folder_starts_a_new_curve(tmp_path, hub):
    FakeRunner(tmp_path, hub + 'a').train(0, 600)
    runner = FakeRunner(tmp_path, hub + 'b')
    runner.train(0, 200)
    assert [i for i, _ in runner.hook.curve] == [100, 200]


def test_values_that_cannot_be_used(tmp_path, hub):
    runner = FakeRunner(tmp_path, hub)
    runner.hook.before_train(runner)
    runner.iter = 100
    runner.hook.after_val_epoch(runner, {'FD(tiny)/NILM': 1.0})
    runner.hook.after_val_epoch(runner, {KEY: float('nan')})
    runner.hook.after_val_epoch(runner, {'accuracy/top1': 90.0})
    assert runner.hook.curve == [] and not best_files(tmp_path)
    runner.hook.metric = 'KD(tiny)/mean'
    with pytest.raises(ValueError, match=r"no value 'KD\(tiny\)/mean'"):
        runner.hook.after_val_epoch(runner, {KEY: 1.0})
    with pytest.raises(ValueError, match='alpha'):
        ModelSelectionHook(alpha=1.0)


@pytest.mark.parametrize('stored', ['elsewhere', 'of the original', 'nowhere', 'odd'])
def test_only_files_of_the_own_work_directory_are_removed(tmp_path, hub, stored):
    folder, original = tmp_path / 'copy', tmp_path / 'original'
    for place in (folder, original):
        place.mkdir()
        (place / 'best_iter_100.pth').write_text('weights')
    precious = tmp_path / 'thesis.tex'
    precious.write_text('text')
    file = {
        'elsewhere': str(precious),
        'of the original': str(original / 'best_iter_100.pth'),
        'nowhere': '../thesis.tex',
        'odd': ['best_iter_100.pth'],
    }[stored]
    best = dict(iteration=100, smoothed=1e9, file=file)
    state = json.dumps(dict(metric=KEY, alpha=0.5, curve=[[100, 9.0]], rows={}, best=best))
    runner = FakeRunner(folder, hub, state, iteration=100)
    runner.train(100, 200)
    assert precious.is_file() and (original / 'best_iter_100.pth').is_file()
    # Replaced where it is known to be the run's own best.
    kept = ['best_iter_200.pth'] + ['best_iter_100.pth'] * (stored != 'of the original')
    assert sorted(best_files(folder)) == sorted(kept)


@pytest.mark.parametrize('state', ['7', '[]', '{"curve": 3}', '{"best": "x"}', '{"rows": [1]}'])
def test_a_damaged_state_is_left(tmp_path, hub, state):
    runner = FakeRunner(tmp_path, hub, state, iteration=100)
    runner.train(100, 200)
    assert runner.validated == [100, 200], 'the lost validation is made up for'
    assert best_files(tmp_path) == ['best_iter_200.pth']
