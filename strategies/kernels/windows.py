"""Compiled form of the windows around the median; ``nearest`` chooses between it and its twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array


def compiled_mean(ordered: Array, count: int) -> NDArray[np.float64]:
    """Average the ``count`` values nearest to the median in each column of sorted values.

    Parameters
    ----------
    ordered
        (m, b) float32 or float64, each column ascending; no sum of m values may overflow.
    count
        How many, from 1 to m.

    Returns
    -------
    NDArray[np.float64]
        (b,) the same bits as the form in numpy: the same sums in the same order.

    """
    means = np.zeros(ordered.shape[1])
    _average_windows(ordered, count, means)
    return means


@njit(nogil=True, cache=True, error_model="numpy")
def _average_windows(ordered: Array, count: int, means: NDArray[np.float64]) -> None:
    """Row by row, so that neighboring columns share an instruction."""
    m, b = ordered.shape
    starts = np.zeros(b, np.int32)
    twice = np.empty(b, np.float64)
    for j in range(b):
        twice[j] = np.float64(ordered[(m - 1) // 2, j]) + np.float64(ordered[m // 2, j])
    for start in range(m - count):
        for j in range(b):
            pair = np.float64(ordered[start, j]) + np.float64(ordered[start + count, j])
            starts[j] += (starts[j] == start) & (pair < twice[j])
    for row in range(m):
        for j in range(b):
            inside = (starts[j] <= row) & (row < starts[j] + count)
            means[j] += np.float64(ordered[row, j]) if inside else 0.0
    for j in range(b):
        means[j] /= count
