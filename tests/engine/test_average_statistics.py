from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cellgan_plugin.engine.average_statistics import settle_average_of
from cellgan_plugin.engine.hooks import SafeCheckpointHook
from cellgan_plugin.models.moving_average import ForeachEMA


class Generator(nn.Module):
    """Its layer sees 1 for images of class 1 and 0 for the others: its mean is class 1's share."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, noise, label, return_noise=False):
        return self.norm((label == 1).float()[:, None, None, None])


def runner(fake_labels, counts=None, iteration=5):
    model = nn.Module()
    model.with_ema_gen, model.num_classes, model.noise_size = True, 3, 2
    if fake_labels is not None:
        model.fake_labels = fake_labels
    model.generator_ema = ForeachEMA(Generator())
    dataset = SimpleNamespace()
    if counts is not None:
        dataset.class_counts = lambda: dict(zip('abc', counts, strict=True))
    return SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=dataset), seed=0, iter=iteration
    )


@pytest.mark.parametrize(
    'fake_labels, counts, share',
    [
        ('data', [0, 50, 0], 1.0),
        ('data', [30, 0, 2], 0.0),
        ('data', [1, 1, 2], 0.25),
        ('data', None, 1 / 3),  # a data set that does not tell
        (torch.tensor([0.0, 2.0, 0.0]), [9, 0, 0], 1.0),
        (None, [9, 0, 0], 1 / 3),  # MMagic's GANs draw every class alike
    ],
)
def test_labels_are_those_of_the_training(fake_labels, counts, share):
    found = runner(fake_labels, counts)
    assert settle_average_of(found) == 1
    mean = found.model.generator_ema.module.norm.running_mean.item()
    # Five standard deviations of a share of 256 images.
    assert mean == pytest.approx(share, abs=5 * (share * (1 - share) / 256) ** 0.5 + 1e-6)


def test_an_average_is_settled_before_it_is_validated():
    trained, loaded = runner('data', [0, 1, 0]), runner('data', [0, 1, 0], iteration=0)
    for found in (trained, loaded):
        SafeCheckpointHook(interval=1).before_val_epoch(found)
    assert trained.model.generator_ema.module.norm.running_mean.item() == pytest.approx(1.0)
    # Outside of a training the statistics of the checkpoint stay.
    assert loaded.model.generator_ema.module.norm.running_mean.item() == 0.0


def test_other_models_are_left_alone():
    found = runner('data', [0, 1, 0])
    found.model.with_ema_gen = False
    assert settle_average_of(found) == 0
    assert settle_average_of(SimpleNamespace(model=nn.Linear(1, 1), seed=0)) == 0
