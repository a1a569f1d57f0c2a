"""The torch form of ``pairwise``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.strategies.kernels.tensors import column_chunks, to_host, zeros

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.tensors import Rows


def gram(values: Rows, exponent: int = 0) -> NDArray[np.float64]:
    """Return the (n, n) inner products of the rows / 2^exponent, accumulated in float64.

    Symmetric to the bit, which the search of MDA relies on: torch does not promise that of a
    matrix times its transpose.
    """
    n, d = values.shape
    products = zeros(values, n, n)
    for chunk in column_chunks(d):
        part = values[:, chunk].double()
        if exponent:
            part = torch.ldexp(part, torch.tensor(-exponent, device=part.device))
        products += part @ part.T
    lower = products.tril()
    return to_host(lower + lower.tril(-1).T)
