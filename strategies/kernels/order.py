"""Order statistics per coordinate: the mean of the middle of each sorted column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.rows import sum_rows
from quickthorn.strategies.kernels.threads import each

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Below this many elements loading the compiled form costs more than numpy's sort, and above
# this many rows its comparators, which grow as n log² n, do.
_SMALL = 1 << 18
_MANY_ROWS = 2048


def middle_mean(values: Rows, trim: int) -> Array:
    """Return per column the mean of the values left after dropping ``trim`` at each end.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
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
    if n * d < _SMALL or n > _MANY_ROWS:
        return sorted_mean(values, trim)
    # Imported on use: numba takes half a second, which small matrices do not win back.
    from quickthorn.strategies.kernels.sorting import network_mean  # noqa: PLC0415 - above

    if isinstance(values, np.ndarray):
        means = network_mean(values, trim)
    else:
        blocks = list(column_blocks(n, d))
        means = np.concatenate(each(lambda block: network_mean(values[:, block], trim), blocks))
    if values.dtype == np.float64:
        huge = ~np.isfinite(means)
        if huge.any():
            means[huge] = sorted_mean(values[:, huge], trim)
    return means


def sorted_mean(values: Rows, trim: int) -> Array:
    """Return what ``middle_mean`` does, by numpy's sort."""
    n, d = values.shape
    result = np.empty(d, values.dtype)
    for block in column_blocks(n, d):
        ordered = np.sort(values[:, block], axis=0)
        result[block] = _stable_mean(ordered[trim : n - trim])
    return result


def _stable_mean(ordered: Array) -> Array:
    """Average the rows of (m, b) sorted columns in float64, row by row, without overflow."""
    mean = sum_rows(ordered) / len(ordered)
    huge = ~np.isfinite(mean)
    if huge.any():
        mean[huge] = sum_rows(ordered[:, huge] / len(ordered))
    return mean
