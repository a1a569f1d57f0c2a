"""Adaptive robust clipping (Allouah et al. 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.rows import row_norms
from quickthorn.strategies.preaggregators.clip import shorten
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Mixed

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def arc(values: Rows, *, byzantine: int) -> Mixed:
    """Clip the k longest updates to the norm of the next one, k from n and f.

        y_i = x_i · min(1, C / ‖x_i‖),   C = ‖x‖_(k+1),   k = ⌊2 (f/n) (n − f)⌋

    ‖x‖_(1) ≥ ‖x‖_(2) ≥ … are the norms in descending order. Unlike a fixed radius it follows
    the updates as they shrink. k is at least f, so C is never above the longest honest norm;
    with f = 0 nothing is clipped.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie.

    Returns
    -------
    Mixed
        (n, d) rows, row i still client i's alone.

    Example
    -------
    >>> arc(np.array([[1.0], [2.0], [-3.0], [100.0]]), byzantine=1).values[:, :].ravel()
    array([ 1.,  2., -3.,  3.])

    References
    ----------
    Allouah et al., "Adaptive Gradient Clipping for Robust Federated Learning", ICLR 2025,
    arXiv:2405.14432.

    """
    n = len(values)
    norms = row_norms(values)
    # In integers: 2 · (f/n) · (n − f) in floating point can fall short of a whole number.
    k = 2 * byzantine * (n - byzantine) // n
    return Mixed(shorten(values, norms, float(np.sort(norms)[n - 1 - k])))


SPEC = Spec(
    name="arc",
    kind="preaggregator",
    apply=arc,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"rowwise", "rotation", "scale"}),
    complexity="O(n d + n log n)",
    reference="Allouah et al., ICLR 2025",
)
