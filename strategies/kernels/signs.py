"""What the signs of updates say: per coordinate over the clients, per client over coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.rows import sum_rows

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


def vote_mean(values: Rows, threshold: int) -> Array:
    """Return the mean of each column, negated where |Σ sign| is below ``threshold``.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite. A zero votes for neither side.
    threshold
        How large the majority has to be, in votes.

    Returns
    -------
    Array
        (d,) in the dtype of ``values``; the mean is summed in float64, row by row.

    """
    n, d = values.shape
    result = np.empty(d, values.dtype)
    for block in column_blocks(n, d):
        part = values[:, block].astype(np.float64, order="C")
        votes = np.abs(np.add.reduce(np.sign(part), axis=0))
        means = sum_rows(part) / n
        huge = ~np.isfinite(means)
        if huge.any():
            means[huge] = sum_rows(part[:, huge] / n)
        result[block] = np.where(votes >= threshold, means, -means)
    return result
