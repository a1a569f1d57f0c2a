"""The mean of the values nearest to the median, per coordinate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels import order
from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.rows import LARGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


@with_tensor_form
def nearest_mean(values: Rows, rows: NDArray[np.intp], count: int) -> Array:
    """Return per column of the given rows the mean of the ``count`` values nearest to the median.

    They lie side by side once the column is sorted, so len(rows) − count + 1 windows are
    compared; equally near ones go to the smaller values.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite; an array, in memory or mapped, or anything that
        gives columns of some rows as one.
    rows
        Which rows take part, in any order.
    count
        How many values to average, from 1 to len(rows).

    Returns
    -------
    Array
        (d,) of the dtype of ``values``, summed in float64 in sorted order; the same bits for
        any order of the rows, any block size and either of the two forms.

    """
    d = values.shape[1]
    if len(rows) * d < order.SMALL or len(rows) > order.MANY_ROWS:
        result = np.empty(d, values.dtype)
        for block in column_blocks(len(rows), d):
            result[block] = window_mean(np.sort(values[rows, block], axis=0), count)
        return result
    # Imported on use: LLVM takes a moment, which small matrices do not win back.
    from quickthorn.strategies.kernels.sorting import network_nearest  # noqa: PLC0415 - above

    means = network_nearest(values, rows, count)

    def careful(block: slice) -> NDArray[np.float64]:
        return window_mean(np.sort(values[rows, block], axis=0), count)

    return order.mend(means, len(rows), careful)


def window_mean(ordered: Array, count: int) -> NDArray[np.float64]:
    """Average the window of ``count`` rows in each column of (m, b) sorted values."""
    starts = _window_starts(ordered, count)
    mean = _window_sum(ordered, starts, count) / count
    huge = ~np.isfinite(mean)
    if huge.any():
        mean[huge] = _window_sum(ordered[:, huge] / count, starts[huge], count)
    return mean


def _window_starts(ordered: Array, count: int) -> NDArray[np.intp]:
    """Return where the ``count`` nearest values begin in each sorted column."""
    n = len(ordered)
    # Halved where the sum of two would overflow; elsewhere not, for the sake of denormals.
    ends = np.maximum(-ordered[0].astype(np.float64), ordered[-1])
    units = np.where(ends > LARGEST / 2.0, 0.5, 1.0)
    twice = ordered[(n - 1) // 2] * units + ordered[n // 2] * units
    starts = np.zeros(ordered.shape[1], np.intp)
    for start in range(n - count):
        # Moving on drops the value at start and takes up the one at start + count: it is
        # nearer to the median m if a + b < 2m, where equal distances round to equal sums.
        nearer = ordered[start] * units + ordered[start + count] * units < twice
        starts += nearer & (starts == start)
    return starts


def _window_sum(ordered: Array, starts: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Add up ``count`` rows from ``starts`` on in float64, one after the other."""
    total = np.zeros(ordered.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for place, row in enumerate(ordered):
            if len(ordered) - count <= place < count:  # in every window
                total += row
            else:
                np.add(total, row, out=total, where=(starts <= place) & (place < starts + count))
    return total
