"""The torch form of ``nearest``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.strategies.kernels.rows import LARGEST
from quickthorn.strategies.kernels.tensors import column_chunks, empty

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows


def nearest_mean(values: Rows, rows: NDArray[np.intp], count: int) -> torch.Tensor:
    """Return per column the mean of the ``count`` values nearest to the median of ``rows``."""
    d = values.shape[1]
    result = empty(values, d)
    for chunk in column_chunks(d):
        ordered = torch.sort(values[rows, chunk], dim=0).values
        starts = _window_starts(ordered, count)
        mean = _window_sum(ordered, starts, count) / count
        huge = ~torch.isfinite(mean)
        if huge.any():
            mean[huge] = _window_sum(ordered[:, huge] / count, starts[huge], count)
        result[chunk] = mean
    return result


def _window_starts(ordered: torch.Tensor, count: int) -> torch.Tensor:
    """Return where the ``count`` nearest values begin in each sorted column."""
    n = len(ordered)
    wide = ordered.double()
    # Halved where the sum of two would overflow; elsewhere not, for the sake of denormals.
    wide *= torch.where(torch.maximum(-wide[0], wide[-1]) > LARGEST / 2.0, 0.5, 1.0)
    twice = wide[(n - 1) // 2] + wide[n // 2]
    starts = torch.zeros(ordered.shape[1], dtype=torch.int64, device=ordered.device)
    for start in range(n - count):
        nearer = wide[start] + wide[start + count] < twice
        starts += nearer & (starts == start)
    return starts


def _window_sum(ordered: torch.Tensor, starts: torch.Tensor, count: int) -> torch.Tensor:
    """Add up ``count`` rows from ``starts`` on in float64, one after the other."""
    total = torch.zeros(ordered.shape[1], dtype=torch.float64, device=ordered.device)
    for place, row in enumerate(ordered):
        inside = (starts <= place) & (place < starts + count)
        total += torch.where(inside, row.double(), 0.0)
    return total
