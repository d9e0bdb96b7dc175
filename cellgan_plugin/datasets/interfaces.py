"""What the parts of a data set need to know of it; the data sets themselves are above them."""

from typing import Any, Callable, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy as np

from cellgan_plugin.datasets.inspection import Reader
from cellgan_plugin.datasets.mask_sources import PairListing, TissuePair
from cellgan_plugin.datasets.sources import Listing


class ListedPatches(Protocol):
    """A :class:`~cellgan_plugin.datasets.CellPatchDataset` whose files are listed."""

    root: str
    classes: Tuple[str, ...]
    split: Optional[str]
    channels: int
    check: str
    check_limit: Optional[int]
    cache: Optional[str]
    test_mode: bool
    reader: Reader
    pipeline: Any
    output_shape: Callable[[int, int], Tuple[int, int]]

    def stored_length(self) -> int:
        """Number of listed files."""

    def stored_info(self, index: int) -> Dict[str, Any]:
        """File, label, group and row of a listed file."""

    def list_sources(self, all_splits: bool = False) -> Listing:
        """List the files again, of this split or of all."""

    def decode(self, info: Dict[str, Any]) -> np.ndarray:
        """uint8 pixels (H, W, channels) of a listed file."""

    def fit(self, info: Dict[str, Any], image: np.ndarray) -> Dict[str, Any]:
        """The sample after the transforms that a cache keeps."""

    def prepare_batch(self, indices: Sequence[int]) -> Dict[str, Any]:
        """A batch made in one piece."""

    def __getitem__(self, index: int) -> Dict[str, Any]:
        """The sample after the pipeline."""


class ListedPairs(Protocol):
    """A :class:`~cellgan_plugin.datasets.TissueMaskDataset` whose pairs are listed."""

    root: str
    split: Optional[Sequence[str]]
    transductive: Sequence[str]
    tile: Optional[Tuple[int, int]]
    max_pixels: Optional[int]
    small_images: str
    shared_groups: str
    labelled_ratio: Optional[float]
    labelled_only: bool
    labelled_by: str
    reader: Reader
    pairs: List[TissuePair]

    def list_sources(self, all_splits: bool = False) -> PairListing:
        """List the pairs again, of these splits or of all."""
