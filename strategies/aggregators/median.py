"""Coordinate-wise median (Yin et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.kernels.order import middle_mean
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.kernels.rows import Rows


def median(values: Rows, *, known: Facts | None = None) -> Aggregate:
    """Take the median of every coordinate; for even n the mean of the two middle values.

        A(x)_k = median(x_1k, …, x_nk)

    Parameters
    ----------
    values
        (n, d) updates.
    known
        What signals or rules have computed of the updates already.

    Returns
    -------
    Aggregate
        (d,) vector; no influence, since each coordinate may come from another client.

    Example
    -------
    >>> import numpy as np
    >>> median(np.array([[1.0], [2.0], [1e30]])).vector
    array([2.])

    References
    ----------
    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates",
    ICML 2018, Definition 1.

    """
    if known is not None:
        return Aggregate(known.center.copy())
    return Aggregate(middle_mean(values, (len(values) - 1) // 2))


def kappa(n: int, byzantine: int) -> float:
    """Return κ = g / (n − f − g) with g = ⌊(n−1)/2⌋; the proof is in docs/explanation/laws.md.

    >>> kappa(5, 1), kappa(5, 2)
    (1.0, 2.0)
    """
    trim = (n - 1) // 2
    return trim / (n - byzantine - trim)


SPEC = Spec(
    name="median",
    kind="aggregator",
    apply=median,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "containment", "resilient"}),
    kappa=kappa,
    complexity="O(n log n · d)",
    reference="Yin et al., ICML 2018",
)
