"""Squared distances between all pairs of rows, from one float64 Gram matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import SMALL, column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.rows import MODERATE, row_peaks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows


@with_tensor_form
def gram(values: Rows, exponent: int = 0) -> NDArray[np.float64]:
    """Return the (n, n) inner products of the rows / 2^exponent, accumulated in float64.

    A row so large that its square overflows yields infinities in its own entries only.
    """
    n, d = values.shape
    if n * d >= SMALL and not exponent:
        from quickthorn.strategies.kernels.products import compiled_gram  # noqa: PLC0415 - SMALL

        return compiled_gram(values)
    products = np.zeros((n, n))
    with np.errstate(over="ignore", invalid="ignore"):
        for block in column_blocks(n, d):
            part = values[:, block].astype(np.float64, order="C")
            if exponent:
                part = np.ldexp(part, -exponent)
            products += part @ part.T
    return products


def squared_distances(values: Rows) -> NDArray[np.float64]:
    """Return the (n, n) squared Euclidean distances between the rows.

    Parameters
    ----------
    values
        (n, d) float32 or float64 *deltas*. The error of an entry is about 1e-16 times the
        larger squared norm of the two rows; on raw float32 weights the same formula loses
        every digit (a fault of the peers).

    Returns
    -------
    NDArray[np.float64]
        Symmetric, zero diagonal, never negative or NaN; infinite where a square overflows.
        For rows whose squares would overflow or vanish (float64 beyond about 1e±140) in
        units of a power of two: the distances of one matrix compare with each other.

    """
    return distances_of(gram(values, typical_exponent(values)))


@dataclass(frozen=True, eq=False)
class CentralGram:
    """The inner products of rows about a central one.

    Attributes
    ----------
    products
        (n, n), symmetric, in the units of ``squared_distances``.
    near
        (n,) False for a row whose square overflows; its products are zero.
    rounding
        (n,) how much of ``products[i, i]`` may be rounding, at the least.

    """

    products: NDArray[np.float64]
    near: NDArray[np.bool_]
    rounding: NDArray[np.float64]


def central_gram(values: Rows) -> CentralGram:
    """Return the inner products of the rows about the most central row.

    The origin is the row whose distance to its n/2-th nearest row is the smallest: close to
    the honest rows while fewer than half lie, so that the products between honest rows are
    as exact as those rows allow, however far away the others are.

    Parameters
    ----------
    values
        (n, d) float32 or float64 deltas.

    """
    return central_of(gram(values, typical_exponent(values)))


def central_of(products: NDArray[np.float64]) -> CentralGram:
    """Return ``central_gram`` from the inner products of the rows, which stay as they are."""
    reach = np.sort(distances_of(products), axis=1)[:, len(products) // 2]
    center = int(np.argmin(reach))
    with np.errstate(over="ignore", invalid="ignore"):
        central = products - products[center] - products[:, [center]] + products[center, center]
    near = np.isfinite(np.diag(central))
    central[~near] = central[:, ~near] = 0.0
    central[center] = central[:, center] = 0.0
    rounding = 8 * np.finfo(np.float64).eps * (np.diag(products) + products[center, center])
    return CentralGram(central, near, np.where(near, rounding, 0.0))


def distances_of(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (n, n) squared distances that follow from ``gram``."""
    norms = np.diag(products)
    with np.errstate(over="ignore", invalid="ignore"):
        distances = norms[:, None] + norms[None, :] - 2.0 * products
    distances[~np.isfinite(distances)] = np.inf
    np.maximum(distances, 0.0, out=distances)
    np.fill_diagonal(distances, 0.0)
    return distances


def typical_exponent(values: Rows) -> int:
    """Return 0, or the binary exponent of the typical row where squares leave float64.

    The median peak decides: fewer than half of the rows, the liars, cannot move it beyond
    the peaks of the others, so they can make no honest distance overflow or vanish.
    """
    if values.dtype.itemsize == np.float32().itemsize:
        return 0
    peaks = np.sort(row_peaks(values))
    typical = float(peaks[(len(peaks) - 1) // 2])
    if typical == 0.0 or MODERATE[0] < typical < MODERATE[1]:
        return 0
    return int(np.frexp(typical)[1])
