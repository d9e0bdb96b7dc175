"""A progress bar on the first rank only; several on one terminal would overwrite each other."""

from typing import Iterable, Iterator

from mmengine.dist import is_main_process

from cellgan_plugin.datasets.inspection import with_progress


def main_progress(items: Iterable, total: int, title: str) -> Iterator:
    """Iterate, with a progress bar on a terminal of the first rank."""
    return with_progress(items, total, title) if is_main_process() else iter(items)
