"""What the data sets of cell patches and of tissue masks share."""

import copy
import os
import pickle
from typing import Any, Callable, Optional, Sequence, Tuple, Union

from mmagic.registry import TRANSFORMS
from mmengine.dataset import BaseDataset

from cellgan_plugin.datasets.image_io import DEFAULT_MAX_PIXELS
from cellgan_plugin.datasets.inspection import Reader
from cellgan_plugin.datasets.samplers import position_of, seed_of


class CheckedDataset(BaseDataset):
    """Images that are listed and checked at construction; a bad sample raises.

    Args:
        choices (Sequence[tuple]): Name, value and allowed values of arguments.
        pipeline (Sequence[dict | Callable]): Transforms.
        ann_file (str): The list, or ''. Defaults to ''.
        data_root (str): Folder of the data set, or ''. Defaults to ''.
        **kwargs: Of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: An argument has none of its allowed values.
    """

    channels = 3
    max_pixels = DEFAULT_MAX_PIXELS
    follow_links = False
    sample_name = 'image'

    def __init__(
        self,
        choices: Sequence[Tuple[str, Any, tuple]],
        pipeline: Sequence[Union[dict, Callable]],
        ann_file: Optional[str] = '',
        data_root: Optional[str] = '',
        **kwargs,
    ) -> None:
        for name, value, allowed in choices:
            if value not in allowed:
                raise ValueError(
                    f'{type(self).__name__}: {name} must be one of {allowed}, got {value!r}'
                )
        # Built here so that names are found in MMagic's registry whatever the default scope is.
        pipeline = [
            TRANSFORMS.build({'_scope_': 'mmagic', **t}) if isinstance(t, dict) else t
            for t in pipeline
        ]
        super().__init__(
            ann_file=os.fspath(ann_file or ''),
            data_root=os.fspath(data_root or ''),
            pipeline=pipeline,
            **kwargs,
        )

    @property
    def classes(self) -> Tuple[str, ...]:
        """Class names in the order of the labels."""
        return self._metainfo['classes']

    @property
    def root(self) -> str:
        """Folder that listed files are relative to."""
        folder = self.data_prefix.get('img_path', '') or self.data_root
        return (folder or os.path.dirname(self.ann_file) or '.').rstrip('/') or '/'

    @property
    def reader(self) -> Reader:
        """How files are found and images read."""
        real_root = '' if self.follow_links else os.path.realpath(self.root)
        return Reader(self.root, real_root, self.channels, self.max_pixels)

    def stored_length(self) -> int:
        """Number of samples; also while :meth:`full_init` is still checking them."""
        return len(self.data_address) if self.serialize_data else len(self.data_list)

    def stored_info(self, index: int) -> dict:
        """What the list says of one sample; also while :meth:`full_init` runs."""
        if not self.serialize_data:
            return copy.copy(self.data_list[index])
        start = self.data_address[index - 1] if index else 0
        return pickle.loads(memoryview(self.data_bytes[start : self.data_address[index]]))

    def get_data_info(self, idx: int) -> dict:
        """What the list says of one sample, and its place in the data and in the stream.

        Args:
            idx (int): Index; negative ones count from the end.
        """
        position, index = position_of(idx), int(idx)
        if not -len(self) <= index < len(self):
            raise IndexError(f'{type(self).__name__}: index {index} of {len(self)} samples')
        index %= len(self)
        info = self.stored_info(index)
        info['sample_idx'] = index
        info['sample_position'] = index if position == int(idx) < 0 else position
        info['sample_seed'] = seed_of(idx)
        return info

    def _transformed(self, info: dict, transforms: Sequence[Callable]) -> dict:
        for transform in transforms:
            path = info.get('img_path')
            info = transform(info)
            if info is None:
                raise ValueError(
                    f'{path}: {type(transform).__name__} returned None: its transform() has to '
                    f'return the results; a {self.sample_name} cannot be skipped'
                )
        return info

    def __getitem__(self, idx: int) -> dict:
        """The sample after the pipeline; a bad one raises, it is never replaced by another."""
        if not self._fully_initialized:
            self.full_init()
        return self.prepare_data(idx)

    def __repr__(self) -> str:
        state = f'{len(self)} samples' if self._fully_initialized else 'not read yet'
        return f'{type(self).__name__}({self.root!r}, classes={list(self.classes)}, {state})'
