"""Names of the benchmark's jobs and of the files that they leave."""

from cellgan_plugin.benchmark.rows import slug

PREDICTIONS_NAME = 'predictions.csv'
CURVES_NAME = 'curves.json'
WEIGHTS_NAME = 'weights.json'  # names the checkpoint of a classifier whose weights are needed
KEPT_NAME = 'kept.csv'  # what a row chose from a pool


def run_name(classifier: str, arm: str, fold: int, seed: int) -> str:
    """Name of the job that trains a classifier (its slug) with an arm (its slug)."""
    return f'{classifier}/{arm}/fold{fold + 1}_seed{seed}'


def baseline_job(classifier: str, fold: int, seed: int) -> str:
    """Name of the job that trains a classifier on a fold's real images alone."""
    return run_name(slug(classifier), 'real', fold, seed)
