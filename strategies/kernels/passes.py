"""Merging many sorted runs of rows, as tables of comparators that a loop executes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pass:
    """Comparators that touch each row at most once, and so may run in any order.

    Attributes
    ----------
    rows
        (k, 2) or (k, 4) rows that are read. Two are compared. Of four, p q s t, first p with
        s and q with t, then p with q and s with t.
    places
        The same shape: the rows that take the result, of each comparison first the smaller.

    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]


def merge_passes(n: int, run: int, low: int, high: int) -> list[Pass]:
    """Return the passes that merge sorted runs until the ranks ``low`` to ``high`` − 1 are right.

    A bitonic merge whose first layer compares from the ends to the middle, so that every
    comparator leaves the smaller value in the smaller row. Two layers make one pass: four
    rows are read and written for four comparators.

    Parameters
    ----------
    n
        How many rows; those from n on, up to the next multiple of ``run``, hold +∞, and so
        does one more.
    run
        The length of the sorted runs, a power of two, at least 2.
    low, high
        The wanted ranks, from 0; 0 <= low < high <= n.

    Returns
    -------
    list[Pass]
        In the order of execution, without what no wanted rank depends on.

    References
    ----------
    Batcher, "Sorting Networks and Their Applications", AFIPS 1968.

    """
    spare = -(-n // run) * run
    passes = []
    half = run
    while half < n:
        passes += _merge(n, half)
        half *= 2
    wanted = np.zeros(spare + 1, bool)
    wanted[low:high] = True
    kept = []
    for each in reversed(passes):
        rows, places = np.minimum(each.rows, spare), np.minimum(each.places, spare)
        # The last but one in order is the second smallest: beyond n there is nothing to compare.
        keep = wanted[places].any(axis=1) & (np.sort(rows, axis=1)[:, 1] < n)
        wanted[rows[keep]] = True
        wanted[spare] = False
        kept.append(Pass(rows[keep], places[keep]))
    return [each for each in reversed(kept) if len(each.rows)]


def _merge(n: int, half: int) -> list[Pass]:
    """Merge the neighboring runs of ``half`` rows, with rows beyond n as if they were there."""
    quarter = half // 2
    p = _places(n, 2 * half, quarter)
    start = p // (2 * half) * (2 * half)
    s = 2 * start + 2 * half - 1 - p
    passes = [
        Pass(
            np.stack([p, p + quarter, s, s - quarter], axis=1),
            np.stack([p, p + quarter, s - quarter, s], axis=1),
        )
    ]
    step = quarter // 2
    while step >= 1:
        if step == 1:
            p = _places(n, 2, 1)
            rows = np.stack([p, p + 1], axis=1)
        else:
            p = _places(n, 2 * step, step // 2)
            rows = np.stack([p, p + step // 2, p + step, p + step + step // 2], axis=1)
        passes.append(Pass(rows, rows))
        step //= 4
    return passes


def _places(n: int, period: int, length: int) -> NDArray[np.int64]:
    """Return the first ``length`` rows of every ``period``, below n."""
    rows = np.arange(n)
    return rows[rows % period < length]
