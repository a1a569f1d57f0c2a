"""The torch form of ``sparse``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from quickthorn.strategies.kernels.angles_tensors import scaled
from quickthorn.strategies.kernels.rows_tensors import mixed_block
from quickthorn.strategies.kernels.sparse import Sparse
from quickthorn.strategies.kernels.tensors import column_chunks, device_of, empty, to_host, zeros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows


def kept_from(values: Rows, keep: int) -> torch.Tensor:
    """Return the ``keep``-th largest |x| of each row, exactly.

    By halving: a number that is not negative is ordered as its bits are, so one pass over the
    data settles one bit of every row's cut.
    """
    n, d = values.shape
    bits = 8 * values.dtype.itemsize
    word = torch.int32 if bits == 32 else torch.int64  # noqa: PLR2004 - the bits of float32
    cut = torch.zeros(n, dtype=word, device=device_of(values))
    for shift in range(bits - 2, -1, -1):  # the highest bit is the sign, which is 0
        tried = cut | (1 << shift)
        counts = torch.zeros(n, dtype=torch.int64, device=cut.device)
        for chunk in column_chunks(d):
            counts += (values[:, chunk].abs().view(word) >= tried[:, None]).sum(dim=1)
        cut = torch.where(counts >= keep, tried, cut)
    return cut.view(values.dtype)


def measure(
    values: Rows, cuts: torch.Tensor, exponents: NDArray[np.int64], layers: Sequence[slice]
) -> Sparse:
    """Measure the rows without their numbers below the cut, layer by layer."""
    shape = len(values), len(layers)
    squares, positive, negative = (zeros(values, *shape) for _ in range(3))
    for place, layer in enumerate(layers):
        for chunk in column_chunks(layer.stop - layer.start):
            part = values[:, layer.start + chunk.start : layer.start + chunk.stop]
            left = torch.where(part.abs() >= cuts[:, None], part, 0)
            positive[:, place] += (left > 0).sum(dim=1)
            negative[:, place] += (left < 0).sum(dim=1)
            squares[:, place] += scaled(left, exponents).square().sum(dim=1)
    counts = (to_host(signs).astype(np.int64) for signs in (positive, negative))
    return Sparse(np.sqrt(to_host(squares)), *counts)


def mix_layers(weights: NDArray[np.float64], values: Rows, layers: Sequence[slice]) -> torch.Tensor:
    """Return Σ_i w_ik x_i in each layer k, (d,) in the dtype of ``values``."""
    vector = empty(values, values.shape[1])
    for shares, layer in zip(weights.T, layers, strict=True):
        for chunk in column_chunks(layer.stop - layer.start):
            part = slice(layer.start + chunk.start, layer.start + chunk.stop)
            vector[part] = mixed_block(shares[None, :], values[:, part], values.dtype)[0]
    return vector
