"""How far rows lie along the direction in which they differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form
from quickthorn.strategies.kernels.rows import sum_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

# Elements that are looked at at a time: fixed, so that the scores do not depend on a setting.
_CHUNK = 1 << 16


@with_tensor_form
def outlier_scores(values: Rows, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the n squared projections on the top right-singular vector of the centered rows.

    Over the given columns, exact, from the eigenvectors of the n × n Gram matrix: with
    C = U Σ Vᵀ they are σ₁² u_i1². In units of the square of the largest
    absolute value, so that no square overflows.
    """
    n = len(values)
    blocks = [columns[block] for block in column_blocks(n, len(columns), _CHUNK)]
    peak = max(float(np.abs(values[:, block]).max()) for block in blocks)
    if peak == 0.0:
        return np.zeros(n)
    products = np.zeros((n, n))
    for block in blocks:
        rows = values[:, block].astype(np.float64, order="C")
        rows /= peak
        rows -= sum_rows(rows) / n
        products += rows @ rows.T
    return top_projections(products)


def top_projections(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return σ₁² u_i1² of a matrix C with C Cᵀ = ``products``."""
    squares, vectors = np.linalg.eigh(products)
    scores: NDArray[np.float64] = squares[-1] * vectors[:, -1] ** 2
    return scores
