"""Order statistics per coordinate: the mean of the middle of each sorted column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.rows import sum_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Below this many elements loading the compiled form costs more than numpy's sort, and above
# this many rows its comparators, which grow as n log² n, do.
SMALL = 1 << 18
MANY_ROWS = 8192


@with_tensor_form
def middle_mean(values: Rows, trim: int) -> Array:
    """Return per column the mean of the values left after dropping ``trim`` at each end.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite; an array, in memory or mapped, or anything that
        gives columns as one.
    trim
        How many to drop at each end; 2 * trim < n. With (n - 1) // 2 this is the median
        (for even n the mean of the two middle values).

    Returns
    -------
    Array
        (d,) of the dtype of ``values``; the mean is accumulated in float64 in sorted order,
        so that the result depends neither on the order of the rows nor on the block size,
        nor on which of the two forms computed it.

    """
    n, d = values.shape
    if n * d < SMALL or n > MANY_ROWS:
        return sorted_mean(values, trim)
    # Imported on use: LLVM takes a moment, which small matrices do not win back.
    from quickthorn.strategies.kernels.sorting import network_mean  # noqa: PLC0415 - above

    means = network_mean(values, trim)
    return mend(means, n, lambda block: _block_mean(values[:, block], trim))


def sorted_mean(values: Rows, trim: int) -> Array:
    """Return what ``middle_mean`` does, by numpy's sort."""
    n, d = values.shape
    result = np.empty(d, values.dtype)
    for block in column_blocks(n, d):
        result[block] = _block_mean(values[:, block], trim)
    return result


def median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median along the first axis, NaN where one is, of one number or more.

    It has the bits of ``np.median``, but for the sign of a zero; numpy's takes five times as
    long for the few dozen numbers that a signal has.

    >>> median(np.array([[3.0, 1.0], [2.0, np.nan], [8.0, 2.0], [9.0, 3.0]]))
    array([5.5, nan])
    """
    ordered = np.sort(values, axis=0)
    half = len(ordered) // 2
    middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2.0
    return np.asarray(np.where(np.isnan(ordered[-1]), np.nan, middle))


def mend(means: Array, rows: int, careful: Callable[[slice], NDArray[np.float64]]) -> Array:
    """Replace means whose float64 sums overflowed, which compiled forms leave not finite.

    Parameters
    ----------
    means
        (d,) as they are now; changed in place.
    rows
        How many rows a block of columns has.
    careful
        Gives the means of a block of columns, the same bits where nothing overflowed.

    Returns
    -------
    Array
        ``means``.

    """
    if means.dtype == np.float64:
        for block in column_blocks(rows, len(means)):
            if not np.isfinite(means[block]).all():
                means[block] = careful(block)
    return means


def _block_mean(block: Array, trim: int) -> NDArray[np.float64]:
    return _stable_mean(np.sort(block, axis=0)[trim : len(block) - trim])


def _stable_mean(ordered: Array) -> NDArray[np.float64]:
    """Average the rows of (m, b) sorted columns in float64, row by row, without overflow."""
    mean = sum_rows(ordered) / len(ordered)
    huge = ~np.isfinite(mean)
    if huge.any():
        mean[huge] = sum_rows(ordered[:, huge] / len(ordered))
    return mean
