"""Averaged weights that stay averaged when a model moves."""

import functools


def keep_averages_attached() -> None:
    """Let averages with ``update_buffers=True`` reach the averaged model, wherever it has moved.

    For: mmengine 0.10.7, whose ``BaseAveragedModel`` remembers the tensors of its module's
    ``state_dict()`` from construction. Moving the model to a GPU (or to another memory format)
    gives it other tensors: the averages then go on in the forgotten ones, and the averaged model
    stays as it was before, without an error. Safe to call again.
    """
    from mmengine.model import BaseAveragedModel

    original = BaseAveragedModel.update_parameters
    if hasattr(original, '__wrapped__'):
        return

    @functools.wraps(original)
    def update_parameters(self, model) -> None:
        if self.update_buffers:
            self.avg_parameters = self.module.state_dict()
        original(self, model)

    BaseAveragedModel.update_parameters = update_parameters
