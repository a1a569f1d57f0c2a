"""The compiled form of one pass over rows; ``surveys`` chooses between this and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_WIDTH = 256


@njit(nogil=True, cache=True, error_model="numpy")
def look(  # noqa: PLR0913, PLR0917 - a compiled loop takes its arguments by position
    rows: Any,  # noqa: ANN401 - numba's types
    start: int,
    stop: int,
    middle: Any,  # noqa: ANN401 - as above
    signs: Any,  # noqa: ANN401 - as above
    scales: Any,  # noqa: ANN401 - as above
    sums: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    """Do what ``surveys._look`` does, row by row, in the same order: to the same bits."""
    part, own = np.zeros(_WIDTH), np.zeros((5, _WIDTH))
    for i in range(len(rows)):
        scale = scales[i]
        own[:] = sums[i]
        for first in range(start, stop, _WIDTH):
            # Slices: an index that is a sum could be negative, and numba would look each time.
            row = rows[i, first : min(first + _WIDTH, stop)]
            for k in range(len(row)):
                part[k] = row[k] * scale
            part[len(row) :] = 0.0
            here = slice(first - start, first - start + _WIDTH)
            _look_run(part, middle[here], signs[here], scale, own)
        sums[i] = own


@njit(nogil=True, cache=True, error_model="numpy")
def _look_run(
    part: Any,  # noqa: ANN401 - as above
    middle: Any,  # noqa: ANN401 - as above
    signs: Any,  # noqa: ANN401 - as above
    scale: float,
    own: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    for k in range(_WIDTH):
        x, m = part[k], middle[k] * scale
        own[0, k] += x * m
        own[1, k] += (x - m) * (x - m)
        own[2, k] += 1.0 if x > 0.0 else 0.0
        own[3, k] += 1.0 if x < 0.0 else 0.0
        own[4, k] += x * signs[k]
