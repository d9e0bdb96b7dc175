"""Feature matrices: what is accepted, what is refused and how blocks of rows are cut.

A feature matrix has one row per image and one column per feature. Every distance of
:mod:`cellgan_plugin.evaluation.distances` passes its input through :func:`as_features` or
:func:`as_feature_pair`, so that all of them accept and refuse the same things.
"""

from typing import Iterator, Optional, Tuple, Union

import numpy as np
import torch

Features = Union[np.ndarray, torch.Tensor]

# Memory for one block of a pairwise matrix when the caller does not choose a block size.
_BLOCK_BYTES = 64 * 2**20


class FeatureMatrixError(ValueError):
    """A feature matrix, or what is asked of it, cannot be used. Base of the errors below."""


class FeatureTypeError(FeatureMatrixError):
    """The features are not a floating point numpy array or torch tensor."""


class FeatureShapeError(FeatureMatrixError):
    """The features are not (n, d), or two matrices differ in d."""


class TooFewImagesError(FeatureMatrixError):
    """The matrix has fewer rows (images) than the distance needs."""


class NonFiniteFeaturesError(FeatureMatrixError):
    """The features hold NaN or infinity."""


class DistanceOptionError(FeatureMatrixError):
    """An option (k, quantile, block size, ...) is outside its range."""


def check_count(value: int, name: str, minimum: int = 1, maximum: Optional[int] = None) -> int:
    """Check a whole number option; DistanceOptionError, with its name, outside of the limits."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        limits = f'>= {minimum}' if maximum is None else f'from {minimum} to {maximum}'
        raise DistanceOptionError(f'{name} must be a whole number {limits}, got {value!r}.')
    return int(value)


def check_fraction(value: float, name: str, closed_low: bool = False) -> float:
    """Check an option in (0, 1), or [0, 1) with ``closed_low``; DistanceOptionError for another."""
    number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    if not number or not (0 < value < 1 or (closed_low and value == 0)):
        limits = '[0, 1)' if closed_low else '(0, 1)'
        raise DistanceOptionError(f'{name} must be a number in {limits}, got {value!r}.')
    return float(value)


def as_features(
    features: Features,
    name: str,
    min_rows: int = 2,
    dtype: torch.dtype = torch.float64,
    device: Optional[torch.device] = None,
) -> torch.Tensor:
    """Check a feature matrix and give it as a tensor of the working precision.

    The input is never written to; the result may share its memory, so callers must not write to
    it either.

    Args:
        features (np.ndarray | torch.Tensor): Floating point features of shape (n, d), one row per
            image.
        name (str): What the matrix is, e.g. ``'real'``, for the error messages.
        min_rows (int): Fewest rows that are of use. Defaults to 2.
        dtype (torch.dtype): Working precision, float64 or float32. Defaults to float64.
        device (torch.device, optional): Where to compute. Defaults to where the tensor is.

    Returns:
        torch.Tensor: Shape (n, d), detached from any graph.

    Raises:
        FeatureTypeError: If it is not a floating point array or tensor.
        FeatureShapeError: If it is not two-dimensional, or has no column.
        TooFewImagesError: If it has fewer than ``min_rows`` rows.
        NonFiniteFeaturesError: If any value is NaN or infinite.
        DistanceOptionError: If ``dtype`` is neither float64 nor float32.
    """
    if dtype not in (torch.float64, torch.float32):
        raise DistanceOptionError(f'dtype must be torch.float64 or torch.float32, got {dtype!r}.')
    if isinstance(features, np.ndarray):
        floating = np.issubdtype(features.dtype, np.floating)
    elif isinstance(features, torch.Tensor):
        floating = features.is_floating_point()
    else:
        raise FeatureTypeError(
            f'{name} features are of type {type(features).__name__}; expected a numpy array or a '
            f'torch tensor of shape (images, features). Convert them first.'
        )
    if not floating:
        raise FeatureTypeError(
            f'{name} features have dtype {features.dtype}; expected floating point features. If '
            f'these are pixels, run a feature extractor on them first; else convert to float.'
        )
    if features.ndim != 2 or features.shape[1] == 0:
        raise FeatureShapeError(
            f'{name} features have shape {tuple(features.shape)}; expected (images, features) '
            f'with at least one feature. Pool or flatten each image to one row first.'
        )
    if features.shape[0] < min_rows:
        raise TooFewImagesError(
            f'{name} features have {features.shape[0]} row(s); at least {min_rows} images are '
            f'needed. Add images to this set, or report it as not computable.'
        )
    if isinstance(features, np.ndarray):
        # One copy at most; torch wants native, writeable memory even where nothing is written.
        working = np.float64 if dtype == torch.float64 else np.float32
        array = np.require(features, dtype=working, requirements=['C', 'W'])
        tensor = torch.from_numpy(array)
    else:
        tensor = features.detach()
        if tensor.device.type == 'mps':  # has no float64
            tensor = tensor.cpu()
    tensor = tensor.to(device=device, dtype=dtype)
    # One number tells in a fraction of the time of a mask; only if it is not finite (or the sum
    # alone overflowed) is the place looked for.
    if not torch.isfinite(tensor.sum()):
        bad = (~torch.isfinite(tensor)).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise NonFiniteFeaturesError(
                f'{name} features hold {len(bad)} value(s) that are NaN, infinite or too large for '
                f'{dtype}; the first is {tensor[row, column].item()} at row {row}, column '
                f"{column}. Check that image and the extractor's precision, then extract the "
                f'features again.'
            )
    return tensor


def as_feature_pair(
    first: Features,
    second: Features,
    names: Tuple[str, str] = ('real', 'fake'),
    min_rows: int = 2,
    dtype: torch.dtype = torch.float64,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Check two feature matrices (n, d) and (m, d); see :func:`as_features`.

    Returns:
        tuple[torch.Tensor, torch.Tensor]: Both on one device: the accelerator's if either is there,
        else the CPU.

    Raises:
        FeatureMatrixError: What :func:`as_features` raises; :class:`FeatureShapeError` too if the
            two have different numbers of columns.
    """
    device = torch.device('cpu')
    for features in (second, first):  # first has the last word
        if isinstance(features, torch.Tensor) and features.device.type not in ('cpu', 'mps'):
            device = features.device
    a = as_features(first, names[0], min_rows, dtype, device)
    b = as_features(second, names[1], min_rows, dtype, device)
    if a.shape[1] != b.shape[1]:
        raise FeatureShapeError(
            f'{names[0]} features have {a.shape[1]} columns but {names[1]} features have '
            f'{b.shape[1]}; both must come from the same extractor and layer. Extract one of them '
            f'again.'
        )
    return a, b


def row_blocks(
    rows: int,
    columns: int,
    block_size: Optional[int] = None,
    itemsize: int = 8,
    most: Optional[int] = None,
) -> Iterator[slice]:
    """Cut the rows of a (rows, columns) pairwise matrix into blocks of bounded memory, in order.

    Args:
        rows (int): Number of rows.
        columns (int): Number of columns.
        block_size (int, optional): Rows per block. Defaults to as many as fit in 64 MiB, but at
            most ``most``.
        itemsize (int): Bytes of one value. Defaults to 8.
        most (int, optional): Limit of the default. Defaults to None.

    Raises:
        DistanceOptionError: If ``block_size`` is not a positive whole number.
    """
    if block_size is None:
        block_size = max(1, min(_BLOCK_BYTES // (itemsize * columns), most or rows))
    block_size = check_count(block_size, 'block_size')
    for start in range(0, rows, block_size):
        yield slice(start, min(start + block_size, rows))
