"""Coordinate-wise trimmed mean (Yin et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.kernels.order import middle_mean
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def trimmed_mean(values: Rows, *, byzantine: int) -> Aggregate:
    """Drop the f lowest and f highest values of every coordinate, average the rest.

        A(x)_k = 1/(n − 2f) Σ_{j=f+1}^{n−f} x_(j)k

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie.

    Returns
    -------
    Aggregate
        (d,) vector; no influence, since each coordinate drops other clients.

    Example
    -------
    >>> import numpy as np
    >>> trimmed_mean(np.array([[0.0], [2.0], [4.0], [-1e30]]), byzantine=1).vector
    array([1.])

    References
    ----------
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
    ICML 2018, Definition 2, with β = f/n.

    """
    return Aggregate(middle_mean(values, byzantine))


def kappa(n: int, byzantine: int) -> float:
    """Return κ = f / (n − 2f), the best that any rule can have; docs/explanation/laws.md.

    >>> kappa(5, 1)
    0.3333333333333333
    """
    return byzantine / (n - 2 * byzantine)


SPEC = Spec(
    name="trimmed_mean",
    kind="aggregator",
    apply=trimmed_mean,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "containment", "resilient"}),
    kappa=kappa,
    complexity="O(n log n · d)",
    reference="Yin et al., ICML 2018",
)
