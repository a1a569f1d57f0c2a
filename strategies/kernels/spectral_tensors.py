"""The torch form of ``spectral``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.spectral import top_projections
from quickthorn.strategies.kernels.tensors import column_chunks, sum_rows, to_host, zeros

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows


def outlier_scores(values: Rows, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the n squared projections on the top right-singular vector of the centered rows."""
    n = len(values)
    chunks = [columns[chunk] for chunk in column_chunks(len(columns))]
    peak = max(float(values[:, chunk].abs().max()) for chunk in chunks)
    if peak == 0.0:
        return np.zeros(n)
    products = zeros(values, n, n)
    for chunk in chunks:
        rows = values[:, chunk].double() / peak
        rows -= sum_rows(rows) / n
        products += rows @ rows.T
    return top_projections(to_host(products))
