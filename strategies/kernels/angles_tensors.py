"""The torch form of ``angles``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from quickthorn.strategies.kernels.angles import Angles, cosines_of, exponents_of
from quickthorn.strategies.kernels.tensors import column_chunks, device_of, empty, to_host, zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows


def cosine_matrix(values: Rows, exponents: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the (n, n) cosines between the rows, 1 between a row and itself."""
    n, d = values.shape
    exponents = exponents_of(values) if exponents is None else exponents
    products = zeros(values, n, n)
    for chunk in column_chunks(d):
        part = scaled(values[:, chunk], exponents)
        products += part @ part.T
    return cosines_of(to_host(products))


def angles_to(vector: object, values: Rows, exponents: NDArray[np.int64]) -> Angles:
    """Measure the rows of ``values`` against ``vector``, in one pass."""
    n, d = values.shape
    other: Rows = torch.as_tensor(vector, device=device_of(values))[None, :]
    own = exponents_of(other)
    products, squares, square = zeros(values, n), zeros(values, n), zeros(values, 1)
    for chunk in column_chunks(d):
        part, along = scaled(values[:, chunk], exponents), scaled(other[:, chunk], own)
        products += (part * along).sum(dim=1)
        squares += part.square().sum(dim=1)
        square += along.square().sum(dim=1)
    return Angles.of(to_host(products), to_host(squares), float(square), int(own[0]))


def mix_scaled(
    factors: NDArray[np.float64], values: Rows, exponents: NDArray[np.int64], *, length: float
) -> torch.Tensor:
    """Return ``length`` · Σ_i factor_i · x_i / 2^exponent_i, (d,) in the dtype of ``values``."""
    used = np.flatnonzero(factors)
    shares = torch.from_numpy(factors[used]).to(device_of(values))
    result = empty(values, values.shape[1])
    for chunk in column_chunks(values.shape[1]):
        result[chunk] = shares @ scaled(values[used, chunk], exponents[used]) * length
    return result


def scaled(block: torch.Tensor, exponents: NDArray[np.int64]) -> torch.Tensor:
    """Return the rows of a block / 2^exponent, in float64."""
    return torch.ldexp(block.double(), -torch.from_numpy(exponents).to(block.device)[:, None])
