"""Compiled inner products of rows; ``pairwise`` chooses between this and numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.rows import pieces
from quickthorn.strategies.kernels.threads import each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

# Columns in a block, which is converted to float64 once: the rows stay in the second-level cache.
_WIDTH = 256
# Rows by rows of a tile: its sums fill the registers of a core.
_DOWN, _ACROSS = 4, 3
# Columns of a chunk, summed by one thread: at least these, and so many for each row that the
# sums of all chunks take a thirtieth of the matrix.
_COLUMNS = 1 << 14
_COLUMNS_PER_ROW = 64


def compiled_gram(values: Rows) -> NDArray[np.float64]:
    """Return the (n, n) inner products of the rows, accumulated in float64.

    Products of float32 are exact in float64. The sums of a chunk of columns run side by side in
    the vectors of the machine; the chunks, which depend on n and d alone, are added in their
    order. So the bits are the same for any number of threads.

    Parameters
    ----------
    values
        (n, d) float32 or float64. A row whose square overflows has infinities and NaN in its
        own entries only.

    """
    n, d = values.shape
    # Tiles reach over the last row by up to two.
    padded = -(-n // _DOWN) * _DOWN + _ACROSS - 1

    def work(chunk: slice) -> NDArray[np.float64]:
        products = np.zeros((padded, padded))
        for rows, start, block in pieces(values, chunk):
            _add_products(rows, start, start + block.stop - block.start, products)
        return products[:n, :n]

    chunks = list(column_blocks(1, d, max(_COLUMNS, _COLUMNS_PER_ROW * n)))
    products = np.zeros((n, n))
    with np.errstate(over="ignore", invalid="ignore"):
        for part in each(work, chunks):
            products += part
    lower = np.tril(products, -1)
    return lower + lower.T + np.diag(np.diag(products))


@njit(nogil=True, cache=True, error_model="numpy")
def _add_products(
    values: Any,  # noqa: ANN401 - numba's types
    start: int,
    stop: int,
    products: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    """Add the products over the columns from ``start`` to ``stop``, diagonal and below."""
    n = len(values)
    block = np.zeros((len(products), _WIDTH))
    for first in range(start, stop, _WIDTH):
        here = min(_WIDTH, stop - first)
        for i in range(n):
            target, source = block[i], values[i, first : first + here]
            for k in range(here):
                target[k] = source[k]
            target[here:] = 0.0
        for i in range(0, n, _DOWN):
            for j in range(0, i + _DOWN, _ACROSS):
                _add_tile(block, i, j, products)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _add_tile(
    block: Any,  # noqa: ANN401 - as above
    i: int,
    j: int,
    products: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    """Add the products of rows i to i + 3 with rows j to j + 2: twelve sums side by side."""
    a, b, c, d = block[i], block[i + 1], block[i + 2], block[i + 3]
    x, y, z = block[j], block[j + 1], block[j + 2]
    ax = ay = az = bx = by = bz = cx = cy = cz = dx = dy = dz = 0.0
    for k in range(_WIDTH):
        ax += a[k] * x[k]
        ay += a[k] * y[k]
        az += a[k] * z[k]
        bx += b[k] * x[k]
        by += b[k] * y[k]
        bz += b[k] * z[k]
        cx += c[k] * x[k]
        cy += c[k] * y[k]
        cz += c[k] * z[k]
        dx += d[k] * x[k]
        dy += d[k] * y[k]
        dz += d[k] * z[k]
    for row, (p, q, r) in enumerate(((ax, ay, az), (bx, by, bz), (cx, cy, cz), (dx, dy, dz))):
        products[i + row, j] += p
        products[i + row, j + 1] += q
        products[i + row, j + 2] += r
