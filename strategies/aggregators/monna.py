"""MoNNA's nearest-neighbor averaging (Farhadkhani et al. 2023), around the server's own update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.rows import combine, row_norms
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


def monna(values: Rows, *, byzantine: int, trusted: Array) -> Aggregate:
    """Average the n − f updates nearest to the server's own.

        A(x) = 1/(n − f) Σ_{i ∈ N} x_i,   N the n − f nearest to g

    In the paper every node averages what lies nearest to its own vector, which it trusts. Here
    the server is the one that does: g is what it learned from a root set of its own, and is not
    averaged itself. (Some libraries take the first client for g: if that one lies, all is
    lost.) Ties in distance go to the smaller client id.

    The result is near the honest mean m if g is: ‖A − m‖² ≤ 4f/(n − f) · (V + ‖g − m‖²) with V
    the variance of the honest updates (docs/explanation/laws.md).

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie.
    trusted
        g, (d,) the server's own update in this round.

    Returns
    -------
    Aggregate
        (d,) vector, influence 1/(n − f) for the nearest.

    Example
    -------
    >>> rows = np.array([[0.0], [1.0], [2.0], [90.0]])
    >>> monna(rows, byzantine=1, trusted=np.array([1.5])).vector
    array([1.])

    References
    ----------
    Farhadkhani et al., "Robust Collaborative Learning with Linear Gradient Overhead",
    ICML 2023, the nearest-neighbor averaging of MoNNA; its momentum is the clients' affair.

    """
    kept = len(values) - byzantine
    nearest = np.argsort(row_norms(values, trusted), kind="stable")[:kept]
    influence = np.zeros(len(values))
    influence[nearest] = 1.0 / kept
    return Aggregate(combine(influence[None, :], values)[0], influence)


SPEC = Spec(
    name="monna",
    kind="aggregator",
    apply=monna,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "rotation"}),
    complexity="O(n d), and one training at the server",
    reference="Farhadkhani et al., ICML 2023",
)
