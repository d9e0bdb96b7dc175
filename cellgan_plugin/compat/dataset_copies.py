"""Subsets of a data set are copies of this one, not of one that is gone."""

import functools
import inspect


def forget_earlier_copies() -> None:
    """Give every copy of a data set a memory of its own.

    For: mmengine 0.10.7, whose ``BaseDataset._copy_without_annotation(memo=dict())`` remembers
    every copy it has ever made in one default argument, by the address of the original. Where a new
    object lies at the address of one that is gone, ``get_subset`` puts the old copy in its place:
    a data set for a pipeline, say. Inert where the default is no dict. Safe to call again.
    """
    from mmengine.dataset import BaseDataset

    original = BaseDataset._copy_without_annotation
    memo = inspect.signature(original, follow_wrapped=False).parameters.get('memo')
    if memo is None or not isinstance(memo.default, dict):
        return

    @functools.wraps(original)
    def copy_without_annotation(self, memo=None):
        return original(self, {} if memo is None else memo)

    BaseDataset._copy_without_annotation = copy_without_annotation
