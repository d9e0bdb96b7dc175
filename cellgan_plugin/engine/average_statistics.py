"""When averaged weights get batch statistics of their own: before evaluation, drawing, saving."""

from mmengine.runner import Runner

from cellgan_plugin.models.batch_statistics import settle_average
from cellgan_plugin.models.conditional_gan import unwrap


def settle_average_of(runner: Runner) -> int:
    """:func:`~cellgan_plugin.models.batch_statistics.settle_average` with a run's seed and labels.

    Labels come as often as in training: as ``fake_labels`` says, with ``'data'`` as the classes of
    the training set do; of models without that option (MMagic's GANs) all alike. The training goes
    on as if nothing had happened.

    Args:
        runner (Runner): Of a GAN; with any other model nothing is done.

    Returns:
        int: Number of layers.
    """
    weights = getattr(unwrap(runner.model), 'fake_labels', None)
    if isinstance(weights, str):
        dataset = getattr(runner.train_dataloader, 'dataset', None)
        counts = getattr(dataset, 'class_counts', None)
        weights = None if counts is None else list(counts().values())
    return settle_average(runner.model, weights, seed=runner.seed or 0)
