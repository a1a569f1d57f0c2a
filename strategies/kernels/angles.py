"""Directions of rows: cosines and mixtures of unit vectors, whatever the size of the rows.

Every row is first divided by a power of two near its largest element, which rounds nothing, so
that no square overflows or vanishes: a row of 1e300 and one of 1e-320 have a direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.rows import LARGEST, row_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


# Elements that are multiplied and summed at a time. Not the block size of the other kernels: the
# cosines, and with them every bit of a result, must not depend on that setting.
_CHUNK = 1 << 18

# Rows with a smaller exponent are denormal, or nearly.
_SMALLEST = -1000


def exponents_of(values: Rows) -> NDArray[np.int64]:
    """Return per row the e for which its largest |x| lies in [2^(e−1), 2^e); 0 for zero rows."""
    exponents: NDArray[np.int64] = np.frexp(row_peaks(values))[1].astype(np.int64)
    return exponents


@with_tensor_form
def cosine_matrix(values: Rows, exponents: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return the (n, n) cosines between the rows, 1 between a row and itself.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite. A row of zeros has cosine 0 with the others.
    exponents
        (n,) of ``exponents_of``, where they are known.

    """
    n, d = values.shape
    exponents = exponents_of(values) if exponents is None else exponents
    products = np.zeros((n, n))
    for block in column_blocks(n, d, _CHUNK):
        part = scaled(values[:, block], exponents)
        products += part @ part.T
    return cosines_of(products)


def cosines_of(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, n) cosines that follow from the inner products."""
    lengths = np.sqrt(np.diag(products))
    lengths[lengths == 0.0] = 1.0
    cosines: NDArray[np.float64] = np.clip(products / lengths[:, None] / lengths, -1.0, 1.0)
    np.fill_diagonal(cosines, 1.0)
    return cosines


@dataclass(frozen=True, eq=False)
class Angles:
    """How rows lie to a vector.

    Attributes
    ----------
    cosines
        (n,) of the angle between each row and the vector; 0 where one of them is zero.
    lengths
        (n,) of each row / 2^exponent: from 0.5 on, or 0 for a row of zeros.
    length
        Of the vector itself, at most ``LARGEST``.

    """

    cosines: NDArray[np.float64]
    lengths: NDArray[np.float64]
    length: float

    @classmethod
    def of(
        cls,
        products: NDArray[np.float64],
        squares: NDArray[np.float64],
        square: float,
        exponent: int,
    ) -> Angles:
        """Take together ⟨v, x_i⟩, ‖x_i‖² and ‖v‖², of which the last is / 4^exponent."""
        lengths = np.sqrt(squares)
        both = lengths * np.sqrt(square)
        cosines = np.divide(products, both, out=np.zeros(len(both)), where=both > 0.0)
        with np.errstate(over="ignore"):
            length = float(np.ldexp(np.sqrt(square), exponent))
        return cls(np.clip(cosines, -1.0, 1.0), lengths, min(length, LARGEST))


@with_tensor_form
def angles_to(vector: Array, values: Rows, exponents: NDArray[np.int64]) -> Angles:
    """Measure the rows of ``values`` against ``vector``, in one pass.

    Parameters
    ----------
    vector
        (d,) float32 or float64, finite.
    values
        (n, d), as in ``cosine_matrix``.
    exponents
        (n,) of ``exponents_of(values)``.

    """
    n, d = values.shape
    own = exponents_of(vector[None, :])
    products, squares, square = np.zeros(n), np.zeros(n), 0.0
    for block in column_blocks(n, d, _CHUNK):
        part = scaled(values[:, block], exponents)
        other = scaled(vector[None, block], own)
        products += np.add.reduce(part * other, axis=1)
        squares += np.add.reduce(part * part, axis=1)
        square += float(np.add.reduce(other * other, axis=1)[0])
    return Angles.of(products, squares, square, int(own[0]))


@with_tensor_form
def mix_scaled(
    factors: NDArray[np.float64], values: Rows, exponents: NDArray[np.int64], *, length: float
) -> Array:
    """Return ``length`` · Σ_i factor_i · x_i / 2^exponent_i, (d,) in the dtype of ``values``.

    Summed in float64, row by row; rows with the factor 0 are not read.
    """
    used = np.flatnonzero(factors)
    result = np.zeros(values.shape[1], values.dtype)
    if not len(used):
        return result
    for block in column_blocks(len(used), values.shape[1]):
        total = np.zeros(len(result[block]))
        for factor, row in zip(
            factors[used], scaled(values[used, block], exponents[used]), strict=True
        ):
            total += factor * row
        result[block] = total * length
    return result


def scaled(block: Array, exponents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rows of a block / 2^exponent, in float64 and in memory of their own."""
    part: NDArray[np.float64] = block.astype(np.float64, order="C")
    if exponents.min() < _SMALLEST:  # the power of two that lifts them is beyond float64
        return np.ldexp(part, -exponents[:, None])
    part *= np.ldexp(1.0, -exponents)[:, None]
    return part
