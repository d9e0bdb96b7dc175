import numpy as np
import pytest

from cellgan_plugin.visualization.contact_sheet import image_grid


def flat(value, height=10, width=8, channels=3):
    return np.full((height, width, channels), value, np.uint8)


def test_layout_without_titles():
    sheet = image_grid([[flat(10), flat(20)], [flat(30)]], pad=2)
    assert sheet.shape == (2 * 14, 2 * 12, 3) and sheet.dtype == np.uint8
    assert (sheet[2:12, 2:10] == 10).all() and (sheet[2:12, 14:22] == 20).all()
    assert (sheet[16:26, 2:10] == 30).all() and (sheet[14:, 12:] == 255).all()
    assert (sheet[:2] == 255).all()


def test_titles_get_room_and_leave_the_images_alone():
    plain = image_grid([[flat(10)], [flat(20)]])
    titled = image_grid(
        [[flat(10)], [flat(20)]], row_titles=['NILM', 'a long title'], column_titles=['epoch 10']
    )
    assert titled.shape[1] > plain.shape[1] + 60 and titled.shape[0] > plain.shape[0]
    for value in (10, 20):
        assert (titled == value).all(axis=2).sum() >= 80
    assert (titled[:, :6] == 255).all()


def test_sizes_grey_and_scale():
    sheet = image_grid([[flat(1, channels=1), flat(2, 4, 4), np.zeros((3, 3), np.uint8)]], pad=0)
    assert sheet.shape == (10, 24, 3)
    assert image_grid([[flat(1)]], pad=0, scale=3).shape == (30, 24, 3)
    assert image_grid([[flat(1)]], pad=0, scale=0.5).shape == (5, 4, 3)


@pytest.mark.parametrize(
    'rows, kwargs, words',
    [
        ([], {}, 'no image'),
        ([[]], {}, 'no image'),
        ([[np.zeros((2, 2, 4), np.uint8)]], {}, 'row 0, column 0 has shape'),
        ([[flat(1)]], dict(row_titles=['a', 'b']), '2 row_titles for 1'),
        ([[flat(1)]], dict(column_titles=[]), '0 column_titles for 1'),
    ],
)
def test_wrong_input(rows, kwargs, words):
    with pytest.raises(ValueError, match=words):
        image_grid(rows, **kwargs)
    with pytest.raises(TypeError, match='float32'):
        image_grid([[np.zeros((2, 2), np.float32)]])


def test_a_title_reaches_over_columns_without_one():
    rows = [[flat(0)] * 8]
    long = 'a title that is wider than one column'
    alone = image_grid(rows, column_titles=[long, *['x'] * 7])
    over = image_grid(rows, column_titles=[long, *[''] * 7])
    assert over.shape[1] < alone.shape[1] / 3
    assert (over[:14].min(axis=(0, 2)) < 128).any(), 'it is written'
