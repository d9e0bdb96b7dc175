"""Which checkpoint a smoothing chooses: one curve under several alphas (HistoGAN, Fig. 4)."""

import json
from pathlib import Path
from typing import Dict, Sequence, Union

from cellgan_plugin.evaluation.uncertainty import smoothed_curve
from cellgan_plugin.visualization.distance_curves import draw_smoothed_curves

CURVE_NAME = 'model_selection.json'
ALPHAS = (0.0, 0.3, 0.5, 0.7, 0.9)


def smoothed_distances(
    work_dir: Union[str, Path], out: Union[str, Path], alphas: Sequence[float] = ALPHAS
) -> Dict[float, int]:
    """Draw the distance of a run's checkpoints under several smoothings, with their minima.

    Args:
        work_dir (str | Path): Of a run with ``ModelSelectionHook``.
        out (str | Path): PNG to write.
        alphas (Sequence[float]): Weights of the past in Eq. (5), each in [0, 1); 0 is the distance
            as it was measured. Defaults to 0, 0.3, 0.5 (the paper's choice), 0.7, 0.9.

    Returns:
        dict[float, int]: Alpha -> iteration of the minimum, the checkpoint it would choose.

    Raises:
        FileNotFoundError: The run has measured no distance.
        ValueError: Its file is damaged, or an alpha is outside [0, 1).
    """
    path = Path(work_dir) / CURVE_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: it is left by a run that measures distances while it trains '
            '(ModelSelectionHook; the configs whose names end in _fd)'
        )
    try:
        state = json.loads(path.read_text(encoding='utf-8'))
        iterations = [int(point[0]) for point in state['curve']]
        values = [float(point[1]) for point in state['curve']]
        name = str(state.get('metric') or 'Frechet distance').rpartition('/')
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f'{path} is damaged ({error}); take that of another run') from error
    if not values:
        raise ValueError(f'{path} holds no distance yet: the run was not validated')
    curves = {float(alpha): smoothed_curve(values, alpha) for alpha in alphas}
    minima = {alpha: iterations[int(curve.argmin())] for alpha, curve in curves.items()}
    axis = f'{name[0]}, {name[2]}' if name[0] else name[2]
    draw_smoothed_curves(out, iterations, curves, axis)
    return minima
