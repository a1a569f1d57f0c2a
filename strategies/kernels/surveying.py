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
        row, scale = rows[i], scales[i]
        own[:] = sums[i]
        for first in range(start, stop, _WIDTH):
            here = min(_WIDTH, stop - first)
            for k in range(here):
                part[k] = row[first + k] * scale
            part[here:] = 0.0
            _look_run(part, middle, signs, first - start, scale, own)
        sums[i] = own


@njit(nogil=True, cache=True, error_model="numpy")
def _look_run(  # noqa: PLR0913, PLR0917 - as above
    part: Any,  # noqa: ANN401 - as above
    middle: Any,  # noqa: ANN401 - as above
    signs: Any,  # noqa: ANN401 - as above
    column: int,
    scale: float,
    own: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    for k in range(_WIDTH):
        x, m = part[k], middle[column + k] * scale
        own[0, k] += x * m
        own[1, k] += (x - m) * (x - m)
        own[2, k] += 1.0 if x > 0.0 else 0.0
        own[3, k] += 1.0 if x < 0.0 else 0.0
        own[4, k] += x * signs[column + k]
