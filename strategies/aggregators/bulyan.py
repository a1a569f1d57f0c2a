"""Bulyan: iterated Krum, then a mean around the median (El Mhamdi et al. 2018)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.nearest import nearest_mean
from quickthorn.strategies.kernels.pairwise import squared_distances
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.kernels.rows import Rows


def bulyan(values: Rows, *, byzantine: int, known: Facts | None = None) -> Aggregate:
    """Pick n − 2f updates by iterated Krum, then average around their coordinate-wise median.

        S = θ = n − 2f picks: each time the row with the best Krum score among those left
        A(x)_k = mean of the β = θ − 2f values of S nearest to the median of S, coordinate k

    The scores are taken anew after each pick, over the rows that are left: with r of them,
    the sum of the squared distances to the r − f − 2 nearest others (at least one, which
    concerns only the last picks). Ties go to the smaller client id; in the mean, of two
    values equally far from the median to the smaller value.

    Parameters
    ----------
    values
        (n, d) updates, n >= 4f + 3.
    byzantine
        f, how many clients may lie.
    known
        What signals or rules have computed of the updates already.

    Returns
    -------
    Aggregate
        (d,) vector; no influence, since each coordinate drops other clients.

    Example
    -------
    >>> rows = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [1e6]])
    >>> bulyan(rows, byzantine=1).vector
    array([2.])

    References
    ----------
    El Mhamdi et al., "The Hidden Vulnerability of Distributed Learning in Byzantium",
    ICML 2018, section 4.

    """
    distances = squared_distances(values) if known is None else known.distances
    picks = bulyan_picks(distances, byzantine)
    return Aggregate(nearest_mean(values, picks, len(values) - 4 * byzantine))


def bulyan_picks(distances: NDArray[np.float64], byzantine: int) -> NDArray[np.intp]:
    """Return the n − 2f rows that iterated Krum picks, in the order of the picks.

    Parameters
    ----------
    distances
        (n, n) squared distances.
    byzantine
        f, how many clients may lie.

    """
    n = len(distances)
    left = np.arange(n)
    # Each row's distances in order, its own at infinity: a pick only takes columns away.
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    order = np.argsort(others, axis=1, kind="stable")
    ordered = np.take_along_axis(others, order, axis=1)
    picks = np.empty(n - 2 * byzantine, np.intp)
    for turn in range(len(picks)):
        nearest = max(len(left) - byzantine - 2, 1)
        scores = ordered[:, :nearest].sum(axis=1)
        place = int(np.argmin(scores))
        picks[turn] = left[place]
        keep = np.arange(len(left)) != place
        stays = order[keep] != left[place]
        shape = (len(left) - 1, order.shape[1] - 1)
        ordered, order = (table[keep][stays].reshape(shape) for table in (ordered, order))
        left = left[keep]
    return picks


def kappa(n: int, byzantine: int) -> float:
    """Return κ = (√((h − q)/q) + h/√((n − 3f) q))², q = ⌈(n − 2f)/2⌉ − f, h = n − f.

    The proof is in docs/explanation/laws.md.

    >>> round(kappa(11, 2), 1)
    22.2
    """
    honest = n - byzantine
    least = (n - 2 * byzantine + 1) // 2 - byzantine
    center = sqrt((honest - least) / least)
    return (center + honest / sqrt((n - 3 * byzantine) * least)) ** 2


SPEC = Spec(
    name="bulyan",
    kind="aggregator",
    apply=bulyan,
    min_clients=lambda byzantine: 4 * byzantine + 3,
    traits=frozenset({"translation", "scale", "resilient"}),
    kappa=kappa,
    complexity="O(n² d + n³)",
    reference="El Mhamdi et al., ICML 2018",
)
