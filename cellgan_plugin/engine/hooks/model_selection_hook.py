"""Keeping the best checkpoint of a run by the smoothed distance curve."""

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from mmagic.registry import HOOKS
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook

from cellgan_plugin.checkpoint_files import own_file
from cellgan_plugin.engine.loops import ResumableTrainLoop
from cellgan_plugin.evaluation.uncertainty import smoothed_curve
from cellgan_plugin.files import atomic_write
from cellgan_plugin.visualization.distance_curves import draw_distance_curves

# Key of MMEngine's message hub, which travels with every checkpoint.
_STATE = 'model_selection'


@HOOKS.register_module()
class ModelSelectionHook(Hook):
    """Keeps the checkpoint at the minimum of the smoothed distance curve.

    HistoGAN, Sec. 3.1.2, Eq. (5): distances of single checkpoints fluctuate too much to choose by;
    their exponential moving average (alpha 0.5) has a minimum that agrees with the eye.

    ``<work_dir>/best_iter_<n>.pth`` holds the weights (no optimizer), ``model_selection.json`` the
    curve, ``distances.png`` shows it with those of the classes.

    After a ``--resume`` the curve goes on: it travels in the checkpoints, and what was validated
    after the newest one was saved is read from the file. A validation that was due at the
    iteration of the checkpoint, but was lost with the run, is made up for.

    Args:
        metric (str, optional): Name of the value, e.g. ``'FD(resnet34_tct)/mean'``. Defaults to
            None: the first Frechet distance, of the row ``row``.
        alpha (float): Weight of the past. Defaults to 0.5.
        row (str): ``'mean'``: the mean of the distances of the classes. ``'pooled'``: one distance
            over all images, classes ignored, as HistoGAN's Eq. (4) has it; it does not see labels
            that are exchanged. Defaults to 'mean'.

    Raises:
        ValueError: ``metric`` is not among the values of the validation, ``alpha`` is not in
            [0, 1), or ``row`` is neither or contradicts ``metric``.
    """

    priority = 'NORMAL'  # before the logger, which is to show the smoothed value

    def __init__(self, metric: Optional[str] = None, alpha: float = 0.5, row: str = 'mean'):
        if row not in ('mean', 'pooled') or (metric and row == 'pooled' != metric.split('/')[-1]):
            raise ValueError(
                f"ModelSelectionHook: row={row!r} with metric={metric!r}: 'mean' or 'pooled', the "
                'end of the metric where that is given'
            )
        if not 0 <= alpha < 1:
            raise ValueError(f'ModelSelectionHook: alpha must be in [0, 1), got {alpha}')
        self.metric = metric
        self.row = row
        self.alpha = alpha
        self.curve: List[List[float]] = []  # [iteration, distance], in the order of training
        self.rows: Dict[int, Dict[str, float]] = {}  # iteration to values of classes, mean, pooled
        self.best: Optional[Dict[str, Any]] = None  # iteration, smoothed, file (its name)

    # State --------------------------------------------------------------------------------------

    def _file(self, runner) -> Path:
        return Path(runner.work_dir) / 'model_selection.json'

    def before_train(self, runner) -> None:
        """Take up the curve of a resumed run, and forget that of another run."""
        self.curve, self.rows, self.best = [], {}, None
        if runner.iter == 0:
            return
        asked = self.metric.rpartition('/')[2] if self.metric else self.row
        state = _of_row(
            _as_state(runner.message_hub.get_info(_STATE), 'the checkpoint', runner.logger), asked
        )
        written = [{}]
        if is_main_process() and self._file(runner).is_file():
            text = self._file(runner).read_text(encoding='utf-8', errors='replace')
            written = [_of_row(_as_state(text, self._file(runner), runner.logger), asked)]
        broadcast_object_list(written)
        points = {**state.get('curve', {}), **written[0].get('curve', {})}
        self.curve = [[i, points[i]] for i in sorted(points) if i <= runner.iter]
        rows = {**state.get('rows', {}), **written[0].get('rows', {})}
        self.rows = {i: rows[i] for i, _ in self.curve if i in rows}
        # The file's best may be of an iteration that is trained again: it was measured all the
        # same, and stays until there is a better one.
        for best in (written[0].get('best'), state.get('best')):
            # By name: the run may be a copy, whose files lie elsewhere than the original's.
            path = own_file(runner.work_dir, best['file']) if best else None
            if path is not None:
                self.best = dict(best, file=path.name)
                break

    def before_train_epoch(self, runner) -> None:
        """Make up for the validation of the checkpoint that was resumed from."""
        iteration = runner.iter
        if runner.val_loop is None or not isinstance(runner.train_loop, ResumableTrainLoop):
            return
        if not iteration or iteration < runner.train_loop.val_begin:
            return
        interval = runner.train_loop.val_interval
        if iteration in [i for i, _ in self.curve]:
            runner.train_loop.mark_validated()
        elif iteration % interval == 0:
            runner.train_loop.validate()

    def _remember(self, runner) -> None:
        state = json.dumps(
            dict(
                metric=self.metric,
                alpha=self.alpha,
                curve=self.curve,
                rows=self.rows,
                best=self.best,
            )
        )
        runner.message_hub.update_info(_STATE, state)
        if is_main_process():
            with atomic_write(self._file(runner), 'w', encoding='utf-8') as file:
                file.write(state + '\n')

    # Choice -------------------------------------------------------------------------------------

    def _value(self, metrics: Dict[str, float]) -> Optional[float]:
        if self.metric is None:
            names = [n for n in metrics if n.endswith(f'/{self.row}') and _is_frechet(n)]
            if not names:
                return None
            self.metric = names[0]
        elif self.metric not in metrics and not any(_is_frechet(n) for n in metrics):
            return None
        value = metrics.get(self.metric)
        if value is None:
            distance = self.metric.rpartition('/')[0]  # FD(DINOv2 ViT-L/14) has a slash itself
            if any(name.rpartition('/')[0] == distance for name in metrics):
                return None  # the metric exists, this row could not be computed
            raise ValueError(
                f'ModelSelectionHook: there is no value {self.metric!r}; the validation gave '
                f'{sorted(metrics)}'
            )
        return float(value) if math.isfinite(value) else None

    def after_val_epoch(self, runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Add a point to the curve; save when the smoothed curve is at its minimum."""
        if not metrics or runner.iter == 0:
            return
        value = self._value(metrics)
        if value is None:
            runner.logger.warning(
                f'model selection: no finite {self.metric or "Frechet distance"} at iteration '
                f'{runner.iter}; this checkpoint is left out of the curve'
            )
            return
        self.curve = [point for point in self.curve if point[0] < runner.iter]
        self.curve.append([runner.iter, value])
        self.rows = {i: self.rows[i] for i, _ in self.curve if i in self.rows}
        name, _, _ = self.metric.rpartition('/')
        self.rows[runner.iter] = {
            key[len(name) + 1 :]: float(v)
            for key, v in metrics.items()
            if key.startswith(name + '/')
        }
        curve = smoothed_curve([v for _, v in self.curve], self.alpha)
        smoothed = float(curve[-1])
        runner.message_hub.update_scalar(f'val/{self.metric} smoothed', smoothed)
        if self.best is None or smoothed < self.best['smoothed']:
            self._save(runner, smoothed)
        self._remember(runner)
        if is_main_process() and len(self.rows) == len(curve):
            picture = Path(runner.work_dir) / 'distances.png'
            draw_distance_curves(
                picture, self.rows, curve, name, self.best['iteration'], self.metric.split('/')[-1]
            )

    def _save(self, runner, smoothed: float) -> None:
        name = f'best_iter_{runner.iter}.pth'
        previous = self.best
        self.best = dict(iteration=runner.iter, smoothed=smoothed, file=name)
        # SafeCheckpointHook makes it plain; the backend writes it whole or not at all.
        runner.save_checkpoint(
            runner.work_dir,
            name,
            save_optimizer=False,
            save_param_scheduler=False,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
            by_epoch=False,
            backend_args=dict(backend='cellgan_atomic'),
        )
        runner.logger.info(
            f'model selection: {self.metric} smoothed {smoothed:.4g}, the lowest so far: {name}'
        )
        if is_main_process() and previous and previous['file'] != name:
            (Path(runner.work_dir) / previous['file']).unlink(missing_ok=True)


def _as_state(text: Any, source: Union[str, Path], logger) -> Dict[str, Any]:
    """``curve``, ``rows`` and ``best`` as they were remembered; {} when that is damaged."""
    try:
        state = json.loads(text or '{}')
        best = state.get('best')
        if best is not None:
            best = dict(
                iteration=int(best['iteration']),
                smoothed=float(best['smoothed']),
                file=str(best['file']),
            )
        return dict(
            curve={int(i): float(value) for i, value in state.get('curve', [])},
            rows={
                int(i): {str(k): float(v) for k, v in row.items()}
                for i, row in state.get('rows', {}).items()
            },
            best=best,
            metric=state.get('metric'),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger.warning(f'the curve of the model selection in {source} is damaged ({error}); left')
        return {}


def _of_row(state: Dict[str, Any], row: str) -> Dict[str, Any]:
    """A remembered state as if another row had been asked for from the start; no best one then."""
    metric = state.get('metric')
    if not isinstance(metric, str) or metric.rpartition('/')[2] == row:
        return state
    rows = state['rows']
    curve = {i: rows[i][row] for i in state['curve'] if row in rows.get(i, {})}
    return dict(state, curve=curve, best=None)


def _is_frechet(name: str) -> bool:
    return name.startswith(('FID', 'FD('))
