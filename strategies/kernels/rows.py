"""Linear algebra over rows: norms and weighted sums, in float64, by blocks of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array


def row_norms(values: Array) -> NDArray[np.float64]:
    """Return the n Euclidean norms of the rows of (n, d) ``values``.

    Accumulated in float64 and scaled by the largest element where a square would overflow
    or vanish, so that a row of 1e300 has a norm and not an infinity. A norm beyond the
    largest float64 is that number, ``LARGEST``.
    """
    norms = np.empty(len(values))
    for index, row in enumerate(values):
        peak = float(np.abs(row).max())
        scale = 1.0 if MODERATE[0] < peak < MODERATE[1] or peak == 0.0 else peak
        total = 0.0
        for block in column_blocks(1, len(row)):
            part = row[block].astype(np.float64) / scale
            total += float(np.add.reduce(part * part))
        root = np.sqrt(total)
        norms[index] = root * scale if scale <= LARGEST / max(root, 1.0) else LARGEST
    return norms


def sum_rows(rows: Array) -> NDArray[np.float64]:
    """Return the sum of the rows in float64, one row after the other.

    ``np.sum`` chooses its order by the shape and the memory layout; this order is fixed, so
    that a coordinate has the same bits in any block. A sum that overflows is infinite.
    """
    total: NDArray[np.float64] = np.zeros(rows.shape[1:])
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows:
            total += row
    return total


def combine(mixing: NDArray[np.float64], values: Array) -> Array:
    """Return ``mixing @ values``: (m, n) times (n, d), in the dtype of ``values``.

    Accumulated in float64. One output row is summed client by client in the order of the
    rows; several are a matrix product per block. Rows that no output uses are not read.
    """
    used = np.flatnonzero(mixing.any(axis=0))
    weights = mixing[:, used]
    result = np.empty((len(mixing), values.shape[1]), values.dtype)
    for block in column_blocks(len(used) + len(mixing), values.shape[1]):
        part = values[used, block].astype(np.float64, order="C")
        if len(weights) == 1:
            result[0, block] = sum_rows(part * weights[0][:, None])
        else:
            result[:, block] = weights @ part
    return result


LARGEST = float(np.finfo(np.float64).max)

# Peaks whose squares, summed over any d in memory, neither overflow nor vanish in float64.
MODERATE = (1e-140, 1e140)
