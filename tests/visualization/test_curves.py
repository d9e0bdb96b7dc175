import cv2
import numpy as np
from mmengine.logging import HistoryBuffer

from cellgan_plugin.visualization.curves import draw_curves, smoothed


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
