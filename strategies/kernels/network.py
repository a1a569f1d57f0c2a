"""Sorting networks: which pairs of rows to compare so that the wanted ranks come out right."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[int, int]


@lru_cache(maxsize=256)
def comparators(n: int, low: int, high: int) -> NDArray[np.int64]:
    """Return the comparators that put ranks ``low`` to ``high`` − 1 of n rows into their places.

    Batcher's odd-even merge sort, without the comparators that no wanted rank depends on.
    A comparator (i, j), i < j, leaves the smaller value in row i and the larger in row j.

    Parameters
    ----------
    n
        How many rows.
    low, high
        The wanted ranks, from 0; 0 <= low < high <= n.

    Returns
    -------
    NDArray[np.int64]
        (c, 2), in the order of execution; read-only.

    Example
    -------
    >>> comparators(3, 1, 2).tolist()
    [[0, 1], [0, 2], [1, 2]]

    References
    ----------
    Batcher, "Sorting Networks and Their Applications", AFIPS 1968; the form of Knuth,
    The Art of Computer Programming 3, section 5.2.2, Algorithm M.

    """
    wanted = set(range(low, high))
    kept: list[Pair] = []
    for pair in reversed(_merge_sort(n)):
        if not wanted.isdisjoint(pair):
            wanted.update(pair)
            kept.append(pair)
    network = np.array(kept[::-1], np.int64).reshape(-1, 2)
    network.flags.writeable = False
    return network


def _merge_sort(n: int) -> list[Pair]:
    """Return all comparators of the odd-even merge sort of ``n`` rows."""
    pairs: list[Pair] = []
    run = 1
    while run < n:
        step = run
        while step >= 1:
            for start in range(step % run, n - step, 2 * step):
                pairs.extend(
                    (i, i + step)
                    for i in range(start, min(start + step, n - step))
                    if i // (2 * run) == (i + step) // (2 * run)
                )
            step //= 2
        run *= 2
    return pairs
