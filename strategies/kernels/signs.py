"""What the signs of updates say: per coordinate over the clients, per client over coordinates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.order import MANY_ROWS, SMALL, mend
from quickthorn.strategies.kernels.rows import sum_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Columns out of which a share is drawn at a time: the draw needs no more memory than this. Not
# the block size of the kernels, because which columns are drawn must not depend on that.
_STRATUM = 1 << 15


@with_tensor_form
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
    if n * d < SMALL or n > MANY_ROWS:
        result = np.empty(d, values.dtype)
        for block in column_blocks(n, d):
            result[block] = _vote_block(values[:, block], threshold)
        return result
    # Imported on use: LLVM takes a moment, which small matrices do not win back.
    from quickthorn.strategies.kernels.sorting import count_votes  # noqa: PLC0415 - above

    means = count_votes(values, threshold)
    return mend(means, n, lambda block: _vote_block(values[:, block], threshold))


def _vote_block(block: Array, threshold: int) -> NDArray[np.float64]:
    part = block.astype(np.float64, order="C")
    votes = np.abs(np.add.reduce(np.sign(part), axis=0))
    means = sum_rows(part) / len(part)
    huge = ~np.isfinite(means)
    if huge.any():
        means[huge] = sum_rows(part[:, huge] / len(part))
    return np.where(votes >= threshold, means, -means)


def sign_shares(values: Rows, share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return which shares of drawn coordinates are positive, zero and negative, row by row.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
    share
        How many coordinates are drawn, without replacement: of each 2^15 successive ones (and
        of the rest) this share, rounded up.
    rng
        Draws them.

    Returns
    -------
    NDArray[np.float64]
        (n, 3); each row sums to 1.

    """
    n, d = values.shape
    counts, drawn = np.zeros((n, 3)), 0
    for start in range(0, d, _STRATUM):
        width = min(_STRATUM, d - start)
        columns = rng.choice(width, math.ceil(share * width), replace=False)
        positive, negative = count_signs(values, start + np.sort(columns))
        counts += np.stack([positive, len(columns) - positive - negative, negative], axis=1)
        drawn += len(columns)
    return counts / drawn


@with_tensor_form
def count_signs(
    values: Rows, columns: NDArray[np.intp] | slice
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many of each row's given coordinates are positive, and how many negative."""
    part = values[:, columns]
    return np.count_nonzero(part > 0, axis=1), np.count_nonzero(part < 0, axis=1)
