import os

import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.randomness import rng_for
from cellgan_plugin.synthesis.animation import (
    frame_count,
    side_by_side,
    write_gif,
    write_mp4,
)


def frames(count=5, height=32, width=48):
    smooth = np.linspace(0, 255, width, dtype=np.uint8)[None, :, None]
    rng = rng_for(0, 'frames')
    return [
        np.broadcast_to(smooth, (height, width, 3)) // int(rng.integers(1, 5)) for _ in range(count)
    ]


@pytest.mark.parametrize('size', [(32, 48), (33, 47)])
def test_films_of_any_size_hold_all_frames(tmp_path, size):
    path = write_mp4(tmp_path / 'film.mp4', frames(5, *size), 12)
    assert frame_count(path) == 5
    write_gif(tmp_path / 'film.gif', frames(5, *size), 12)
    with Image.open(tmp_path / 'film.gif') as gif:
        assert gif.n_frames == 5 and gif.size == size[::-1]
    assert sorted(os.listdir(tmp_path)) == ['film.gif', 'film.mp4']


def test_a_film_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match='cannot write MP4'):
        write_mp4(tmp_path / 'missing' / 'film.mp4', frames(), 12)
    assert not os.listdir(tmp_path)


def test_what_is_no_film_has_no_frames(tmp_path):
    (tmp_path / 'film.mp4').write_bytes(b'no film')
    assert frame_count(tmp_path / 'film.mp4') == 0


def test_images_side_by_side():
    grey, colour = np.zeros((4, 5, 1), np.uint8), np.full((4, 6, 3), 7, np.uint8)
    joined = side_by_side([grey, colour])
    assert joined.shape == (4, 5 + 2 + 6, 3)
    assert (joined[:, :5] == 0).all() and (joined[:, 5:7] == 255).all()
    assert (joined[:, 7:] == 7).all()
