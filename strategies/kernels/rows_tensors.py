"""The torch form of ``rows``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from quickthorn.strategies.kernels.rows import LARGEST, MODERATE
from quickthorn.strategies.kernels.tensors import (
    column_chunks,
    device_of,
    empty,
    to_host,
    zeros,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows
    from quickthorn.strategies.updates import Array


def combine(
    weights: NDArray[np.float64], values: Rows, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Return ``weights @ values``; rows of weight zero are not read."""
    used = np.flatnonzero(weights.any(axis=0))
    shares = torch.from_numpy(weights[:, used]).to(device_of(values))
    result = empty(values, len(weights), values.shape[1], dtype=dtype)
    for chunk in column_chunks(values.shape[1]):
        result[:, chunk] = shares @ values[used, chunk].double()
    return result


def mixed_block(
    weights: NDArray[np.float64], block: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Return ``weights @ block`` in ``dtype``; a multiple of one row costs no product.

    Rows that nobody takes are left out, so that no bit depends on how many there are.
    """
    alone = np.count_nonzero(weights, axis=1) <= 1
    if not alone.any():
        used = np.flatnonzero(weights.any(axis=0))
        shares = torch.from_numpy(weights[:, used]).to(block.device)
        return (shares @ block[used].double()).to(dtype)
    mixed = torch.empty(len(weights), block.shape[1], dtype=dtype, device=block.device)
    places = np.abs(weights[alone]).argmax(axis=1)
    shares = torch.from_numpy(weights[alone, places]).to(block.device)
    mixed[alone] = (block[places].double() * shares[:, None]).to(dtype)
    mixed[~alone] = mixed_block(weights[~alone], block, dtype)
    return mixed


def own_vector(values: Rows, content: object) -> torch.Tensor:
    """Return ``content``, or zeros, as a float64 vector of its own that lies where the rows do."""
    if content is None:
        return zeros(values, values.shape[1])
    vector = torch.as_tensor(content, dtype=torch.float64, device=device_of(values))
    return vector.clone()


def rounded(vector: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ``vector`` in ``dtype``, in memory of its own."""
    return vector.to(dtype, copy=True)


def row_norms(values: Rows, center: Array | torch.Tensor | None = None) -> NDArray[np.float64]:
    """Return ‖x_i − v‖ of every row; at most ``LARGEST``."""
    norms = np.sqrt(_squares(values, center, np.ones(len(values))))
    extreme = ~((MODERATE[0] < norms) & (norms < MODERATE[1]))
    if extreme.any():
        peaks = np.minimum(row_peaks(values, center), LARGEST)
        scales = np.where(extreme & (peaks > 0.0), peaks, 1.0)
        with np.errstate(over="ignore"):
            scaled = np.sqrt(_squares(values, center, scales)) * scales
        norms[extreme] = np.minimum(scaled[extreme], LARGEST)
    return norms


def row_peaks(values: Rows, center: Array | torch.Tensor | None = None) -> NDArray[np.float64]:
    """Return the largest |x_ij − v_j| of each row."""
    peaks = zeros(values, len(values))
    for chunk in column_chunks(values.shape[1]):
        torch.maximum(peaks, _centered(values, center, chunk).abs().amax(dim=1), out=peaks)
    return to_host(peaks)


def _squares(
    values: Rows, center: Array | torch.Tensor | None, scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Σ_j ((x_ij − v_j) / scale_i)² of each row."""
    divisors = torch.from_numpy(scales).to(device_of(values))[:, None]
    total = zeros(values, len(values))
    for chunk in column_chunks(values.shape[1]):
        total += (_centered(values, center, chunk) / divisors).square().sum(dim=1)
    return to_host(total)


def _centered(values: Rows, center: Array | torch.Tensor | None, chunk: slice) -> torch.Tensor:
    """Return x − v over ``chunk``, in float64."""
    part: torch.Tensor = values[:, chunk].double()
    if center is None:
        return part
    return part - torch.as_tensor(center[chunk], dtype=torch.float64, device=part.device)
