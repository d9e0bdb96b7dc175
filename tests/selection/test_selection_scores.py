import math

import numpy as np
import pytest
import torch
from selection_helpers import classifier, random_images, reader_of

from cellgan_plugin.datasets.image_encoding import encode_image
from cellgan_plugin.selection import (
    CandidateScores,
    Centroids,
    CentroidSums,
    ScoreError,
    compute_centroids,
    score_batch,
    score_candidates,
)
from cellgan_plugin.selection.centroids import own_and_nearest, unit_normalised
from cellgan_plugin.selection.image_tree import SelectionError
from cellgan_plugin.selection.saved_scores import ScoreSettings
from cellgan_plugin.selection.scores import entropy
from cellgan_plugin.selection.stream import ImageStream

KEYS = [f'image {i}' for i in range(6)]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return classifier(tmp_path_factory.mktemp('classifier'))


@pytest.fixture(scope='module')
def centroids(network):
    return centroids_of(network, random_images(9, seed=1), torch.arange(9) % 3)


def centroids_of(network, images, labels, batch_size=9):
    sums = CentroidSums(3)
    for start in range(0, len(images), batch_size):
        rows = slice(start, start + batch_size)
        trunk = network.trunk(images[rows])
        keys = [f'real {i}' for i in range(len(images))][rows]
        last = network.top(trunk, network.masks(trunk, 0, 'centroid', keys))[1]
        sums.add([*trunk.maps, last], labels[rows], network.top(trunk)[1])
    return sums.centroids()


def test_entropy_in_nats():
    values = entropy(torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3]))
    assert values.tolist() == pytest.approx([0, math.log(2), math.log(3)], abs=1e-6)


def test_centroids_are_averages_of_activations(network, centroids):
    images = random_images(9, seed=1)
    for label in range(3):
        maps = [[], [], [], []]
        for index in range(label, 9, 3):  # Eq. (7), one image at a time
            trunk = network.trunk(images[index : index + 1])
            mask = network.masks(trunk, 0, 'centroid', [f'real {index}'])
            for stage, found in zip(maps, [*trunk.maps, network.top(trunk, mask)[1]], strict=True):
                stage.append(found[0])
        for stage, mean in zip(maps, centroids.maps, strict=True):
            torch.testing.assert_close(mean[label], torch.stack(stage).mean(0))
    assert centroids.counts.tolist() == [3, 3, 3]


def test_scores_against_a_loop(network, centroids):
    """Eq. (6) written out, with K full passes."""
    images = random_images(6)
    found = score_batch(network, centroids, images, LABELS, KEYS, passes=3, seed=7)
    for i in range(6):
        entropies, mean, distance = [], 0, np.zeros(3)
        for k in range(3):
            trunk = network.trunk(images[i : i + 1])
            p, last = network.top(trunk, network.masks(trunk, 7, k, [KEYS[i]]))
            p = p[0].double().numpy()
            entropies.append(-(p * np.log(p)).sum())
            mean = mean + p / 3
            for stage, maps in enumerate([*trunk.maps, last]):
                a = maps[0].double()
                a = a / a.square().sum(0, keepdim=True).sqrt().clamp_min(1e-10)
                for label in range(3):
                    b = centroids.maps[stage][label].double()
                    b = b / b.square().sum(0, keepdim=True).sqrt().clamp_min(1e-10)
                    distance[label] += float((a - b).square().sum(0).mean()) / 3
        assert found.entropy[i] == pytest.approx(np.mean(entropies), abs=1e-6)
        assert found.entropy_of_mean[i] == pytest.approx(-(mean * np.log(mean)).sum(), abs=1e-6)
        assert found.confidence[i] == pytest.approx(mean[LABELS[i]], abs=1e-6)
        assert found.distance[i] == pytest.approx(distance[LABELS[i]], abs=2e-6)
        assert found.nearest[i] == distance.argmin() and found.predicted[i] == mean.argmax()
        assert found.nearest_distance[i] == pytest.approx(distance.min(), abs=2e-6)
    assert (found.entropy_of_mean >= found.entropy - 1e-9).all()  # concavity


def test_scores_do_not_depend_on_batches_or_order(network, centroids):
    images = random_images(6)
    whole = score_batch(network, centroids, images, LABELS, KEYS)
    order = torch.tensor([4, 2, 5, 0, 3, 1])
    parts = []
    for rows in (order[:1], order[1:4], order[4:]):
        keys = [KEYS[i] for i in rows]
        parts.append(score_batch(network, centroids, images[rows], LABELS[rows], keys))
    shuffled = CandidateScores.concatenate(parts)
    for name, values in vars(whole.rows(order.numpy())).items():
        np.testing.assert_allclose(getattr(shuffled, name), values, atol=2e-6)


def test_layers_choose_the_terms_of_the_distance(network, centroids):
    images = random_images(6)
    one_by_one = [
        score_batch(network, centroids, images, LABELS, KEYS, layers=[stage]).distance
        for stage in range(4)
    ]
    together = score_batch(network, centroids, images, LABELS, KEYS).distance
    np.testing.assert_allclose(sum(one_by_one), together, atol=1e-5)


def test_the_distance_without_dropout_is_that_of_one_plain_pass(network, centroids):
    images = random_images(6)
    found = score_batch(network, centroids, images, LABELS, KEYS)
    trunk = network.trunk(images)
    plain = [*trunk.maps, network.top(trunk)[1]]
    of_real = network.trunk(random_images(9, seed=1))
    average = [
        torch.stack([maps[label::3].mean(0) for label in range(3)])
        for maps in [*of_real.maps, network.top(of_real)[1]]
    ]
    expected = sum(
        (unit_normalised(a) - unit_normalised(b)[LABELS]).square().sum(1).mean((1, 2))
        for a, b in zip(plain, average, strict=True)
    )
    np.testing.assert_allclose(found.plain_distance, expected, atol=1e-5)
    assert not np.allclose(found.plain_distance, found.distance, atol=1e-4)


def test_layers_may_be_residual_blocks(network, tmp_path):
    images = random_images(6)
    stages = network.trunk(images)
    with pytest.raises(SelectionError, match='there are stages 1, 2, 3, 4$'):
        ScoreSettings(layers=(5,)).check_network(network)
    assert ScoreSettings(layers=(2, '1')).check_network(network) == [0, 1]
    try:
        assert ScoreSettings(layers=('blocks',)).check_network(network) is None
        assert network.map_names == [f'{s}.{b}' for s in (1, 2, 3, 4) for b in (1, 2)]
        blocks = network.trunk(images)
        assert len(blocks.maps) == 7 == network.num_stages - 1
        for maps, stage in zip(blocks.maps[1::2], stages.maps, strict=True):
            assert torch.equal(maps, stage)
        assert torch.equal(blocks.last_input, stages.last_input)
        found = centroids_of(network, random_images(9, seed=1), torch.arange(9) % 3)
        every = score_batch(network, found, images, LABELS, KEYS)
        chosen = ScoreSettings(layers=('1.1', '3.2', 4)).check_network(network)
        assert chosen == [0, 5, 7]
        parts = [score_batch(network, found, images, LABELS, KEYS, layers=[k]) for k in range(8)]
        np.testing.assert_allclose(sum(p.distance for p in parts), every.distance, atol=1e-5)
        some = score_batch(network, found, images, LABELS, KEYS, layers=chosen)
        expected = sum(parts[k].plain_distance for k in chosen)
        np.testing.assert_allclose(some.plain_distance, expected, atol=1e-5)
    finally:
        network.set_blocks(False)
    for wrong in ((), (0,), ('3.0',), ('all',)):
        with pytest.raises(SelectionError, match='stages count from 1'):
            ScoreSettings(layers=wrong)


def test_positions_without_activation_and_classes_without_images():
    maps = torch.zeros(1, 2, 1, 2)
    maps[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    expected = torch.tensor([[0.6, 0], [0.8, 0]])
    torch.testing.assert_close(unit_normalised(maps)[0, :, 0], expected)
    centroid = torch.zeros(2, 2, 1, 2)
    centroid[0, :, 0, 0] = torch.tensor([0.0, 9.0])
    found = Centroids([centroid], torch.tensor([4, 0])).distances(0, maps)
    assert found[0, 0] == pytest.approx((0.36 + 0.04) / 2) and found[0, 1].isnan()
    own, nearest, distance = own_and_nearest(found, torch.tensor([0]))
    assert nearest.tolist() == [0] and own == distance
    with pytest.raises(ValueError, match='say --input-size'):
        Centroids([centroid], torch.tensor([4, 0])).distances(0, torch.zeros(1, 2, 3, 3))


def test_scores_that_are_not_finite_are_named(network, centroids):
    scores = score_batch(network, centroids, random_images(6), LABELS, KEYS)
    scores.distance[2] = np.nan
    with pytest.raises(ScoreError, match='image 2: distance is NaN'):
        scores.require_finite(KEYS)


def write_pngs(folder, images):
    for index, image in enumerate(images):
        path = folder / f'{index:02d}.png'
        path.write_bytes(encode_image(image.permute(1, 2, 0).numpy(), 'png'))
    return sorted(path.name for path in folder.glob('*.png'))


def test_files_are_scored_once_and_saved(network, tmp_path, monkeypatch):
    files = write_pngs(tmp_path, random_images(7))
    labels = [0, 1, 2, 0, 1, 2, 0]
    stream = ImageStream(reader_of(tmp_path), files, 32, batch_size=3)
    means = compute_centroids(network, stream, labels)
    assert means.counts.tolist() == [3, 2, 2]
    plain = score_candidates(network, lambda: means, stream, labels)
    monkeypatch.setattr('cellgan_plugin.selection.scoring._PART', 4)

    def fails():
        raise KeyboardInterrupt

    read = []

    def counted(self, file):
        read.append(file)
        if len(read) == 7:
            raise KeyboardInterrupt
        return original(self, file)

    original = ImageStream.read
    monkeypatch.setattr(ImageStream, 'read', counted)
    with pytest.raises(KeyboardInterrupt):
        score_candidates(network, lambda: means, stream, labels, save_dir=tmp_path / 'saved')
    assert len(list((tmp_path / 'saved').glob('part_*'))) == 1
    read.clear()
    read.extend([''] * 10)  # counts on, no more interruption
    again = score_candidates(network, lambda: means, stream, labels, save_dir=tmp_path / 'saved')
    assert sorted(read[10:]) == files[4:]  # by threads; the first part was not read again
    for name, values in vars(plain).items():
        np.testing.assert_allclose(getattr(again, name), values, atol=2e-6)
    score_candidates(network, fails, stream, labels, save_dir=tmp_path / 'saved')
    assert len(read) == 13


def test_images_of_several_sizes_need_a_size(network, tmp_path):
    files = write_pngs(tmp_path, [*random_images(1), *random_images(1, size=40)])
    with pytest.raises(ValueError, match='01.png is 40x40, others are 32x32.*--input-size'):
        list(ImageStream(reader_of(tmp_path), files))
    batches = list(ImageStream(reader_of(tmp_path), files, 32))
    assert batches[0][1].shape == (2, 3, 32, 32) and batches[0][1].dtype == torch.uint8
