"""The torch form of ``signs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.strategies.kernels.tensors import column_chunks, empty, sum_rows, to_host

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows


def vote_mean(values: Rows, threshold: int) -> torch.Tensor:
    """Return the mean of each column, negated where |Σ sign| is below ``threshold``."""
    n, d = values.shape
    result = empty(values, d)
    for chunk in column_chunks(d):
        part = values[:, chunk].double()
        votes = torch.sign(part).sum(dim=0).abs()
        means = sum_rows(part) / n
        huge = ~torch.isfinite(means)
        if huge.any():
            means[huge] = sum_rows(part[:, huge] / n)
        result[chunk] = torch.where(votes >= threshold, means, -means)
    return result


def count_signs(
    values: Rows, columns: NDArray[np.intp] | slice
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many of each row's given coordinates are positive, and how many negative."""
    part = values[:, columns]
    return to_host((part > 0).sum(dim=1)), to_host((part < 0).sum(dim=1))
