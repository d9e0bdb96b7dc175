"""The iterations of a run's logged scalars: noted while it trains, drawn with its curves."""

from pathlib import Path
from typing import Optional

from cellgan_plugin.engine.hooks.run_info_hook import read_scalars
from cellgan_plugin.visualization import draw_curves
from cellgan_plugin.visualization.iteration_runs import add_iteration

# In the runner's message hub, and so in its checkpoints: a resumed run goes on with them.
_KEY = 'logged_iterations'


def note_logged(runner, outputs: Optional[dict]) -> None:
    """Note that this iteration has logged the scalars in ``outputs``, as MMEngine logs them."""
    if not outputs:
        return
    hub = runner.message_hub
    runs = hub.runtime_info.get(_KEY)
    if runs is None:
        hub.update_info(_KEY, {})
        runs = hub.get_info(_KEY)
    for name in outputs:
        add_iteration(runs.setdefault(f'train/{name}', []), runner.iter + 1)


def draw_run_curves(runner, path: Path) -> Path:
    """Draw the curves of a run; see :func:`cellgan_plugin.visualization.draw_curves`."""
    read_scalars(runner)
    hub = runner.message_hub
    return draw_curves(hub.log_scalars, path, iterations=hub.runtime_info.get(_KEY))
