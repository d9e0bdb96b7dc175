import hashlib
import time

import numpy as np
import pytest
import torch
from PIL import Image

from cellgan_plugin.datasets.content_hash import (
    TRAINING_IMAGES,
    content_hash,
    content_hashes,
    from_hex,
    merge_hashes,
    read_training_images,
    to_hex,
    write_training_images,
)
from cellgan_plugin.datasets.image_io import ImageFileError


def image(seed=0, shape=(12, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def hashes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16), dtype=np.uint8)


def test_by_hand():
    pixels = image()
    expected = hashlib.blake2b(b'12x16:' + pixels.tobytes(), digest_size=16).digest()
    assert content_hash(pixels) == expected
    # Another layout in memory, the same pixels.
    assert content_hash(np.asfortranarray(pixels)) == expected


def test_shape_and_every_pixel_count():
    pixels = np.zeros((4, 6, 3), np.uint8)
    other = pixels.copy()
    other[3, 5, 2] = 1
    found = {content_hash(p) for p in (pixels, pixels.reshape(6, 4, 3), other, pixels[:3])}
    assert len(found) == 4


@pytest.mark.parametrize(
    'wrong', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3))]
)
def test_only_rgb_bytes_are_images(wrong):
    with pytest.raises(ValueError, match=r'uint8 of shape \(H, W, 3\)'):
        content_hash(wrong)


def test_renamed_and_losslessly_encoded_copies_are_known_again(tmp_path):
    pixels = image()
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    Image.fromarray(pixels).save(tmp_path / 'b.bmp')
    Image.fromarray(pixels).save(tmp_path / 'c.tif')
    Image.fromarray(pixels).save(tmp_path / 'd.webp', lossless=True)
    Image.fromarray(pixels).convert('RGBA').save(tmp_path / 'e.png')
    Image.fromarray(pixels).save(tmp_path / 'f.jpg', quality=95)
    Image.fromarray(pixels).resize((8, 6)).save(tmp_path / 'g.png')
    found = to_hex(content_hashes(sorted(tmp_path.iterdir())))
    assert found[:5] == [content_hash(pixels).hex()] * 5
    assert len(set(found)) == 3  # lossy and resized copies are other images


def test_grey_files_are_hashed_as_the_rgb_they_are_read_as(tmp_path):
    grey = image(shape=(5, 7))
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    assert content_hashes([tmp_path / 'grey.png'])[0].tobytes() == content_hash(rgb)


def test_order_is_that_of_the_paths_whatever_the_number_of_threads(tmp_path):
    paths = []
    for number in range(30):
        paths.append(tmp_path / f'{number}.png')
        Image.fromarray(image(number)).save(paths[-1])
    alone = np.stack([np.frombuffer(content_hash(image(n)), np.uint8) for n in range(30)])
    for workers in (None, 1, 5):
        found = content_hashes(paths, workers=workers)
        assert found.dtype == np.uint8 and np.array_equal(found, alone)
    assert np.array_equal(content_hashes(paths[::-1]), alone[::-1])
    assert content_hashes([]).shape == (0, 16)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'no image')
    with pytest.raises(ImageFileError, match='broken.png'):
        content_hashes([tmp_path / 'broken.png'])


def test_the_random_generators_are_left_alone(tmp_path):
    Image.fromarray(image()).save(tmp_path / 'a.png')
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), np.random.get_state()[2]
    write_training_images(tmp_path, content_hashes([tmp_path / 'a.png'] * 5))
    after = torch.get_rng_state(), np.random.get_state()[1], np.random.get_state()[2]
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1]) and before[2] == after[2]


def test_the_union():
    a, b = hashes(5), hashes(4, seed=1)
    both = merge_hashes(a, torch.from_numpy(b), a[:2])
    assert set(to_hex(both)) == {*to_hex(a), *to_hex(b)}
    assert to_hex(both) == sorted(to_hex(both))
    assert merge_hashes().shape == merge_hashes(hashes(0)).shape == (0, 16)
    with pytest.raises(ValueError, match=r'uint8 of shape \(N, 16\); got float64'):
        merge_hashes(a.astype(float))


def test_hexadecimal_and_back():
    assert np.array_equal(from_hex(to_hex(hashes(7))), hashes(7))
    assert to_hex(np.arange(16, dtype=np.uint8)[None]) == ['000102030405060708090a0b0c0d0e0f']
    for wrong in ('', 'ab', 'g' * 32, 'A' * 32):
        with pytest.raises(ValueError, match='is no hash'):
            from_hex([wrong])


def test_the_file(tmp_path):
    rows = hashes(9)
    path = write_training_images(tmp_path, np.concatenate([rows, rows]))
    assert path == tmp_path / TRAINING_IMAGES
    lines = path.read_text().splitlines()
    assert lines == sorted(to_hex(rows))
    assert np.array_equal(read_training_images(tmp_path), merge_hashes(rows))
    assert np.array_equal(read_training_images(path), merge_hashes(rows))
    assert [p.name for p in tmp_path.iterdir()] == [TRAINING_IMAGES]
    write_training_images(path, hashes(0))
    assert read_training_images(path).shape == (0, 16)


def test_a_damaged_file_is_named_with_its_line(tmp_path):
    path = write_training_images(tmp_path, hashes(3))
    path.write_text(path.read_text() + 'zz\n')
    with pytest.raises(ValueError, match="training_images.txt, line 4: 'zz' is no hash"):
        read_training_images(path)
    path.write_bytes(b'\xff' * 5_000_000)
    with pytest.raises(ValueError, match='line 1: .* is no hash') as error:
        read_training_images(path)
    assert len(str(error.value)) < 1000
    with pytest.raises(FileNotFoundError):
        read_training_images(tmp_path / 'elsewhere' / TRAINING_IMAGES)


def test_a_hundred_thousand_images_are_a_matter_of_a_second(tmp_path):
    rows = hashes(100_000)
    started = time.process_time()
    write_training_images(tmp_path, rows)
    assert len(read_training_images(tmp_path)) == 100_000
    assert time.process_time() - started < 5
