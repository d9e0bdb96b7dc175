import json
import math

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_generators import CLASSES, write_run

from cellgan_plugin.datasets.image_io import load_image
from cellgan_plugin.errors import SynthesisError
from cellgan_plugin.models.sampling import truncate_noise
from cellgan_plugin.runs.sampling import synthesis_noise
from cellgan_plugin.synthesis.interpolate import (
    interpolate,
    key_images,
    path_labels,
    path_noise,
    slerp,
)
from cellgan_plugin.synthesis.synthesize import synthesize


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def made(run, tmp_path_factory):
    out = tmp_path_factory.mktemp('made')
    synthesize(*run, out, per_class=4, truncation=1.5, sheet=0)
    return out


def image(folder, name, seed):
    return load_image(str(folder / name / f'{name}_{seed:06d}.png'))


# The way ----------------------------------------------------------------------------------------


def test_slerp_follows_the_great_circle():
    start, end = torch.tensor([2.0, 0, 0]), torch.tensor([0, 4.0, 0])
    for weight in (0.25, 0.5, 0.8):
        found = slerp(start, end, weight)
        angle = weight * math.pi / 2
        expected = torch.tensor([math.cos(angle), math.sin(angle), 0]) * (2 + 2 * weight)
        torch.testing.assert_close(found, expected)
    assert slerp(start, end, 0) is start and slerp(start, end, 1) is end


def test_slerp_of_parallel_vectors():
    z = torch.tensor([1.0, 2.0, 2.0])
    torch.testing.assert_close(slerp(z, z.clone(), 0.3), z)
    torch.testing.assert_close(slerp(z, 3 * z, 0.5), 2 * z)
    assert slerp(z, -z, 0.25).isfinite().all()


def test_vectors_on_the_way_are_as_long_as_those_at_its_ends():
    frames = path_noise(256, [(0, 1), (0, 2), (1, 3)], 10, False, None)
    lengths = frames.norm(dim=1)
    assert len(frames) == 21
    assert lengths.min() > 0.99 * lengths[[0, 10, 20]].min()
    assert torch.equal(frames[[0, 10, 20]], synthesis_noise(256, [(0, 1), (0, 2), (1, 3)]))


def test_truncation_bounds_the_way_and_keeps_its_ends():
    keys = [(0, 1), (2, 2)]
    frames = path_noise(64, keys, 7, False, 0.7)
    assert frames.abs().max() <= 0.7
    assert torch.equal(frames[[0, -1]], synthesis_noise(64, keys, 0.7))
    plain = path_noise(64, keys, 7, False, None)
    torch.testing.assert_close(frames[3], truncate_noise(plain[3], 0.7))


def test_keeping_the_noise_leaves_the_class_alone_to_change():
    frames = path_noise(16, [(0, 1), (2, 2)], 4, True, None)
    assert len(frames) == 5 and all(torch.equal(z, frames[0]) for z in frames)


def test_labels_change_evenly_between_classes_and_stay_whole_within():
    found = path_labels([(0, 1), (2, 1), (2, 5)], 2, 3)
    expected = [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1], [0, 0, 1], [0, 0, 1]]
    assert torch.equal(found, torch.tensor(expected, dtype=torch.float32))
    assert torch.equal(path_labels([(1, 0), (1, 4)], 3, 3), torch.tensor([1, 1, 1, 1]))


@pytest.mark.parametrize(
    'classes, seeds, expected',
    [
        (['HSIL'], [3, 7], [(2, 3), (2, 7)]),
        (['NILM', 'hsil'], [3], [(0, 3), (2, 3)]),
        (['NILM', 'ASC_US'], [3, 7], [(0, 3), (1, 7)]),
    ],
)
def test_pairs_of_classes_and_seeds(classes, seeds, expected):
    assert key_images(classes, seeds, CLASSES) == expected


@pytest.mark.parametrize(
    'classes, seeds, message',
    [
        (['SCC'], [1, 2], "'SCC': the model knows"),
        (['NILM', 'HSIL'], [1, 2, 3], '2 classes and 3 seeds'),
        (['NILM'], [1], 'two images'),
        (['NILM'], [4, 4], 'two images'),
        ([], [4, 4], '0 classes'),
        (['NILM'], [-1, 4], 'seeds'),
    ],
)
def test_paths_that_cannot_be(classes, seeds, message):
    with pytest.raises(SynthesisError, match=message):
        key_images(classes, seeds, CLASSES)


# Pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'classes, seeds, ends',
    [
        (['HSIL'], [0, 2], [('HSIL', 0), ('HSIL', 2)]),
        (['NILM', 'HSIL'], [1, 3], [('NILM', 1), ('HSIL', 3)]),
    ],
)
def test_the_ends_are_the_synthesised_images(run, made, tmp_path, classes, seeds, ends):
    result = interpolate(*run, tmp_path, classes, seeds, steps=4, truncation=1.5)
    frames = result['images'][0]
    assert frames.shape == (5, 32, 32, 3)
    assert np.array_equal(frames[0], image(made, *ends[0]))
    assert np.array_equal(frames[-1], image(made, *ends[1]))
    steps = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    whole = np.abs(frames[-1].astype(int) - frames[0]).mean()
    assert 0 < steps.max() < whole  # it moves, and in steps


def test_strip_gif_film_and_protocol(run, tmp_path):
    options = dict(steps=6, strip_steps=2, rows=2, fps=10)
    result = interpolate(*run, tmp_path, CLASSES, [1], **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'interpolation.gif',
        'interpolation.json',
        'interpolation.mp4',
        'strip.png',
    ]
    count, width = 13 + 11, 32 + 2 + 32  # there and back; two rows side by side
    with Image.open(tmp_path / 'interpolation.gif') as gif:
        assert (gif.n_frames, gif.size, gif.info['loop']) == (count, (width, 32), 0)
        assert gif.info['duration'] == 100
    film = cv2.VideoCapture(str(tmp_path / 'interpolation.mp4'))
    assert film.isOpened() and film.get(cv2.CAP_PROP_FPS) == 10
    frames = []
    while (read := film.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    assert len(frames) == count and frames[0].shape == (32, width, 3)
    first = np.concatenate([result['images'][0, 0], result['images'][1, 0]], axis=1)
    found = np.delete(frames[0], [32, 33], axis=1)
    assert np.abs(found.astype(int) - first).mean() < 30  # a lossy film, in the right colours
    assert (
        np.abs(found[..., ::-1].astype(int) - first).mean()
        > np.abs(found.astype(int) - first).mean()
    )
    strip = load_image(str(tmp_path / 'strip.png'))
    assert strip.shape[0] > 2 * 128 and strip.shape[1] > 5 * 128
    protocol = json.loads((tmp_path / 'interpolation.json').read_text())
    assert protocol['keys'] == [dict(label=name, seed=1) for name in CLASSES]


def test_a_strip_alone_needs_its_own_frames_only(run, tmp_path):
    result = interpolate(*run, tmp_path, ['NILM'], [0, 1], steps=30, strip_steps=3, formats=['png'])
    assert result['images'].shape[1] == 4
    assert not (tmp_path / 'interpolation.gif').exists()


@pytest.mark.parametrize('kind', ['biggan', 'ldm'])
def test_within_a_class_for_every_kind_of_generator(kind, tmp_path):
    run = write_run(tmp_path / 'run', kind)
    out, options = tmp_path / 'out', dict(steps=2, strip_steps=2, formats=['png', 'gif'])
    synthesize(*run, tmp_path / 'made', seeds=[1, 2], classes=dict(HSIL=2), sheet=0)
    frames = interpolate(*run, out, ['HSIL'], [1, 2], **options)['images'][0]
    assert np.array_equal(frames[0], image(tmp_path / 'made', 'HSIL', 1))
    assert np.array_equal(frames[-1], image(tmp_path / 'made', 'HSIL', 2))


def test_between_classes_needs_a_model_that_mixes_them(tmp_path):
    run = write_run(tmp_path / 'run', 'biggan')
    with pytest.raises(SynthesisError, match='BigGAN takes whole class labels only'):
        interpolate(*run, tmp_path / 'out', ['NILM', 'HSIL'], [1], steps=2, strip_steps=1)
    assert not (tmp_path / 'out').exists()


def test_between_classes_by_latent_diffusion(tmp_path):
    run = write_run(tmp_path / 'run', 'ldm')
    options = dict(steps=2, strip_steps=2, formats=['png'], keep_noise=True)
    frames = interpolate(*run, tmp_path / 'out', ['NILM', 'HSIL'], [1], **options)['images'][0]
    assert len({frame.tobytes() for frame in frames}) == 3


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(formats=['avi']), 'png, gif, mp4'),
        (dict(formats=[]), 'png, gif, mp4'),
        (dict(steps=0), 'steps'),
        (dict(steps=3, strip_steps=4), 'strip_steps'),
        (dict(fps=0), 'fps'),
        (dict(keep_noise=True), 'nothing to change'),
    ],
)
def test_settings_that_cannot_be(run, tmp_path, options, message):
    with pytest.raises(SynthesisError, match=message):
        interpolate(*run, tmp_path / 'out', ['NILM'], [1, 2], **options)
    assert not (tmp_path / 'out').exists()
