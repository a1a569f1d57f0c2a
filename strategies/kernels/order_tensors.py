"""The torch form of ``order``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.strategies.kernels.tensors import column_chunks, empty, sum_rows

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.tensors import Rows


def middle_mean(values: Rows, trim: int) -> torch.Tensor:
    """Return per column the mean of the values left after dropping ``trim`` at each end."""
    n, d = values.shape
    result = empty(values, d)
    for chunk in column_chunks(d):
        ordered = torch.sort(values[:, chunk], dim=0).values
        result[chunk] = _stable_mean(ordered[trim : n - trim])
    return result


def _stable_mean(ordered: torch.Tensor) -> torch.Tensor:
    mean = sum_rows(ordered) / len(ordered)
    huge = ~torch.isfinite(mean)
    if huge.any():
        mean[huge] = sum_rows(ordered[:, huge] / len(ordered))
    return mean
