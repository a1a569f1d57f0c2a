"""Arithmetic over the honest rows that several attacks need, in float64, by blocks of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.rows import sum_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.simulations.attacks.spec import Rows, UpdateView

Vector = np.ndarray[Any, np.dtype[np.float64]]


def mean_of(rows: Rows) -> Vector:
    """Return the (d,) mean of the (h, d) rows.

    >>> mean_of(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
    array([2., 3.])
    """
    return sum_rows(rows) / len(rows)


def deviation_of(rows: Rows, mean: Vector) -> Vector:
    """Return the (d,) sample standard deviation of each coordinate, divided by h − 1.

    With a single row nothing varies, and it is zero.

    >>> deviation_of(np.array([[1.0], [3.0]], np.float32), np.array([2.0]))
    array([1.41421356])
    """
    result = np.empty(len(mean))
    for block in column_blocks(*rows.shape):
        squares = (rows[:, block] - mean[block]) ** 2
        result[block] = np.sqrt(sum_rows(squares) / max(len(rows) - 1, 1))
    return result


def dots(rows: Rows, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (h, m) inner products of the (h, d) rows with the (m, d) vectors.

    >>> dots(np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 4.0]]))
    array([[11.]])
    """
    result = np.zeros((len(rows), len(vectors)))
    for block in column_blocks(len(rows) + len(vectors), rows.shape[1]):
        result += rows[:, block].astype(np.float64) @ vectors[:, block].T
    return result


def weighted_sum(rows: Rows, weights: Vector) -> Vector:
    """Return the (d,) Σ w_i x_i of the (h, d) rows.

    >>> weighted_sum(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([1.0, -1.0]))
    array([-2., -2.])
    """
    result = np.empty(rows.shape[1])
    for block in column_blocks(*rows.shape):
        result[block] = sum_rows(rows[:, block] * weights[:, None])
    return result


def copies(vector: Vector, view: UpdateView) -> Rows:
    """Return (k, d) rows that are all ``vector``, in the dtype of the updates.

    What that dtype cannot hold becomes infinite, as it would for an attacker.
    """
    rows = np.empty_like(view.own)
    with np.errstate(over="ignore"):
        rows[:] = vector
    return rows
