"""What the training loop refuses before the first step."""

from types import SimpleNamespace

import numpy as np
import pytest
from torch.utils.data import DataLoader

from cellgan_plugin.datasets import LabelledBatchSampler
from cellgan_plugin.engine.loops import ResumableTrainLoop


class Samples(list):
    def labelled_flags(self):
        return np.array(self) % 2 == 0


def test_a_batch_has_the_size_that_its_sampler_deals():
    runner = SimpleNamespace(visualizer=SimpleNamespace(), model=SimpleNamespace())
    data = Samples(range(8))
    sampler = LabelledBatchSampler(data, 2, 1, seed=0)
    with pytest.raises(ValueError, match='batch_size is 4, but its sampler .* batches of 3'):
        ResumableTrainLoop(runner, DataLoader(data, batch_size=4, sampler=sampler), 5)
    ResumableTrainLoop(runner, DataLoader(data, batch_size=3, sampler=sampler), 5)
    with pytest.raises(TypeError, match='cannot resume'):
        ResumableTrainLoop(runner, DataLoader(data, batch_size=3, shuffle=True), 5)
