"""Mean around the median, coordinate by coordinate (Xie et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.nearest import nearest_mean
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def mean_around_median(values: Rows, *, byzantine: int) -> Aggregate:
    """Average, in every coordinate, the n − f values nearest to the median.

        A(x)_k = mean of the n − f values x_ik with the smallest |x_ik − median_k|

    Where one on the left and one on the right are equally far, the one on the left, the
    smaller value, is taken. Unlike the trimmed mean it may leave the range of the honest
    values, by at most as much as they are spread.

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
    >>> mean_around_median(np.array([[0.0], [2.0], [4.0], [1e30]]), byzantine=1).vector
    array([2.])

    References
    ----------
    Xie et al., "Generalized Byzantine-tolerant SGD", arXiv:1802.10116, Definition 6.

    """
    return Aggregate(nearest_mean(values, np.arange(len(values)), len(values) - byzantine))


def kappa(n: int, byzantine: int) -> float:
    """Return κ = 4f / (n − f − g) with g = ⌊(n−1)/2⌋; the proof is in docs/explanation/laws.md.

    >>> kappa(5, 1), kappa(10, 2)
    (2.0, 2.0)
    """
    trim = (n - 1) // 2
    return 4 * byzantine / (n - byzantine - trim)


SPEC = Spec(
    name="mean_around_median",
    kind="aggregator",
    apply=mean_around_median,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "resilient"}),
    kappa=kappa,
    complexity="O(n log n · d)",
    reference="Xie et al., arXiv:1802.10116",
)
