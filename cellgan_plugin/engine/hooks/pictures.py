"""What every hook that draws pictures while a model trains does: when, where to, and the curves."""

from pathlib import Path
from typing import Dict

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook

from cellgan_plugin.compat import show_image
from cellgan_plugin.datasets.image_encoding import write_png
from cellgan_plugin.engine.hooks.logged_iterations import draw_run_curves, note_logged


class PictureHook(Hook):
    """Base: pictures every ``interval`` iterations and at the end, and the curves so far.

    ``<work_dir>/sheets/iter_00001000.png``, ``<work_dir>/curves.png``.

    Args:
        interval (int): Iterations between pictures.
    """

    priority = 'LOW'

    def __init__(self, interval: int):
        self.interval = interval

    def pictures(self, runner) -> Dict[str, np.ndarray]:
        """What is drawn: end of the file's name -> uint8 RGB (H, W, 3), the main one first."""
        raise NotImplementedError

    def is_end(self, runner) -> bool:
        """Whether pictures are due after this iteration, whatever the interval is."""
        return runner.iter + 1 == runner.max_iters or runner.train_loop.stop_training

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw when due."""
        note_logged(runner, outputs)
        if self.is_end(runner) or self.every_n_train_iters(runner, self.interval):
            self.draw(runner, runner.iter + 1)

    @master_only
    def draw(self, runner, iteration: int) -> Path:
        """Write the pictures and the curves of this moment; the path of the main picture."""
        folder = Path(runner.work_dir)
        pictures = self.pictures(runner)
        paths = [folder / 'sheets' / f'iter_{iteration:08d}{end}.png' for end in pictures]
        for path, picture in zip(paths, pictures.values(), strict=True):
            write_png(path, picture)
        show_image(runner.visualizer, 'sheet', next(iter(pictures.values())), iteration)
        draw_run_curves(runner, folder / 'curves.png')
        return paths[0]
