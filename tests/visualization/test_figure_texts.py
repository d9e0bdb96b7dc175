"""Many classes and long names: no text of a figure is cut off, and none lies on another."""

from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.benchmark import figures as benchmark_figures
from cellgan_plugin.selection import figures as selection_figures
from cellgan_plugin.synthesis.attention import AttentionMaps, draw_attention, with_colour_bar
from cellgan_plugin.visualization import tables

LONG = [f'Superficial squamous intermediate cell {i}' if i % 3 else f'NILM {i}' for i in range(20)]
TITLE = 'Data augmentation of a data set with a long name, ResNet-34 from random weights ' * 3
ARMS = ['real only', '+ CellGAN, selected by entropy and centroid distance', '+ BigGAN']
RNG = np.random.default_rng(0)


def boxes(path, classes):
    values = {m: {'ResNet-34': {arm: list(RNG.random(5)) for arm in ARMS}} for m in ('a', 'f')}
    return benchmark_figures.draw_boxes(path, values, dict(a='Accuracy', f='F1'), TITLE)


def confusions(path, classes):
    count = len(classes)
    matrices = {(name, arm): RNG.integers(0, 50, (count, count))
                for name in ('ResNet-34', 'DenseNet-121') for arm in ARMS}  # fmt: skip
    matrices['DenseNet-121', ARMS[1]] = None
    return benchmark_figures.draw_confusions(path, matrices, classes, TITLE)


def learning_curves(path, classes):
    curve = dict(train={'loss': dict(iteration=[1, 10, 20], value=[1, 0.5, 0.4])}, val={})
    arms = [*ARMS, *(f'+ another arm of the benchmark {i}' for i in range(6))]
    return benchmark_figures.draw_learning_curves(path, {'R': {a: [curve] for a in arms}}, TITLE)


def tsne(path, classes):
    labels = np.arange(200) % len(classes)
    real = np.arange(200) < 100
    panels = [('100 real images', real, real & False), (TITLE, real, ~real)]
    points = RNG.normal(size=(200, 2))
    return selection_figures.draw_tsne(path, points, labels, classes, panels)


def evaluation(path, classes):
    name = 'FD(resnet18_phantom)'
    rows = [
        dict(row=row, real=1000 + i, fake=1000, notes=[], values={name: i + 1.0, 'precision': 0.5},
             intervals={}, floor={name: 0.5})
        for i, row in enumerate([*classes, 'mean', 'pooled'])
    ]  # fmt: skip
    return tables.draw_table(path, rows, TITLE)


def _is_number(text):
    return not text.strip().strip('\u2212').replace('.', '').replace('0', '1').strip('123456789')


DRAWN = (boxes, confusions, learning_curves, tsne, evaluation)


@pytest.mark.parametrize('classes', [LONG[:2], LONG], ids=['two', 'twenty'])
@pytest.mark.parametrize('draw', DRAWN, ids=[draw.__name__ for draw in DRAWN])
def test_every_text_is_inside_and_apart(draw, classes, tmp_path, monkeypatch):
    kept = []
    for module in (benchmark_figures, selection_figures, tables):
        save = module.save_figure
        monkeypatch.setattr(
            module, 'save_figure', lambda f, p, s=save: (kept.append(f), s(f, p))[1]
        )
    path = draw(tmp_path / 'x.png', classes)
    (figure,) = kept
    width, height = Image.open(path).size
    assert max(width, height) < 4200
    figure.canvas.draw()
    whole = figure.bbox.padded(2)
    from matplotlib.text import Text

    # Names, titles and legends; ticks beyond the axes' ends are texts, too, and are not drawn.
    texts = [t for t in figure.findobj(Text) if t.get_visible() and not _is_number(t.get_text())]
    boxes_of = {text: text.get_window_extent() for text in texts}
    for text, box in boxes_of.items():
        outside = [box.x0 < whole.x0, box.y0 < whole.y0, box.x1 > whole.x1, box.y1 > whole.y1]
        assert not any(outside), (text.get_text(), box, whole)
    for (one, a), (other, b) in combinations(boxes_of.items(), 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, down) < 2, (one.get_text(), other.get_text())


def test_fewer_than_three_folds_have_no_box(tmp_path, monkeypatch):
    kept = []
    save = benchmark_figures.save_figure
    monkeypatch.setattr(
        benchmark_figures, 'save_figure', lambda f, p: (kept.append(f), save(f, p))[1]
    )
    for folds, boxes_wanted in ((2, True), (3, True), (5, False)):
        values = {'a': {'R': {arm: list(RNG.random(folds)) for arm in ARMS}}}
        benchmark_figures.draw_boxes(tmp_path / 'x.png', values, dict(a='A'), 'T', boxes_wanted)
    lines = [len(figure.axes[0].lines) for figure in kept]
    # Joined folds, points and, with a box, its whiskers, caps, edges and median: six lines an arm.
    assert lines == [2 + 3, 3 + 3 * 7, 5 + 3]
    assert [len(figure.axes[0].collections) for figure in kept] == [3, 0, 3]  # means


def test_attention_has_a_colour_bar():
    from matplotlib import colormaps

    images = np.full((2, 32, 32, 3), 200, np.uint8)
    attention = np.ones((2, 4, 4), np.float32)
    attention[0, 0, 0] = 3.5
    maps = AttentionMaps(images, attention, np.array([0, 1]), np.array([0, 0]), 1.0)
    sheet = draw_attention(maps, ['A', LONG[1]])
    plain = np.full((10, 30, 3), 255, np.uint8)
    bar = with_colour_bar(plain, 3.5)
    assert (bar[:10, :30] == plain).all() and bar.shape[0] == 62
    row = bar[10 + 8 + 7].astype(int)
    coloured = np.flatnonzero(np.ptp(row, axis=1) > 100)
    assert len(coloured) > 190
    jet = (255 * colormaps['jet'](np.linspace(0, 1, len(coloured)))[:, :3]).round()
    assert np.abs(row[coloured] - jet).max() < 60  # OpenCV's jet, from blue to red
    assert (bar[:, -4:] == 255).all()  # the text ends before the edge
    assert sheet.shape[0] > 4 * 32 + 52
