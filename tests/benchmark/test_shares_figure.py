"""The figure of accuracy against the number of real images."""

import numpy as np
import pytest

from cellgan_plugin.benchmark import shares_figure


def test_a_line_per_row_with_means_over_folds_and_nothing_where_no_fold_is_done(monkeypatch):
    drawn = []
    monkeypatch.setattr(shares_figure, 'save_figure', lambda figure, path: drawn.append(figure))
    points = {'A': {'real only': [(250.0, [0.7, 0.9]), (100.0, [0.5, 0.6])], '+ G': [(100.0, [])]}}
    shares_figure.draw_shares('x.png', points, 'title')
    (axes,) = drawn[0].axes
    (container,) = axes.containers
    line, _, (bars,) = container
    assert np.allclose(np.asarray(line.get_ydata(), float), [55, 80])
    assert np.asarray(line.get_xdata(), float) == pytest.approx([100, 250], rel=0.05)
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert lengths == pytest.approx([2 * 100 * np.std(v, ddof=1) for v in ([0.5, 0.6], [0.7, 0.9])])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ['100', '250']
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['real only']
