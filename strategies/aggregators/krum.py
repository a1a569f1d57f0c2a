"""Krum and Multi-Krum (Blanchard et al. 2017)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.pairwise import squared_distances
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.kernels.rows import Rows

_REFERENCE = "Blanchard et al., NeurIPS 2017; n-f-1: Allouah et al., AISTATS 2023"

Neighbors = Literal["n-f-2", "n-f-1"]
"""How many others a score sums over, as it is written in a text form."""

Power = Literal[2, 4]
"""Of the distances that a score sums."""


def krum_scores(
    distances: NDArray[np.float64], byzantine: int, neighbors: Neighbors = "n-f-2"
) -> NDArray[np.float64]:
    """Return each row's sum of squared distances to its nearest others.

    Parameters
    ----------
    distances
        (n, n) squared distances, n >= f + 3; f + 1 where one more neighbor counts.
    byzantine
        f, how many clients may lie.
    neighbors
        How many others count.

    Returns
    -------
    NDArray[np.float64]
        (n,); infinite for a row whose squares overflow.

    """
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    count = len(others) - byzantine - (1 if neighbors == "n-f-1" else 2)
    scores: NDArray[np.float64] = np.sort(others, axis=1)[:, :count].sum(axis=1)
    return scores


def krum(
    values: Rows,
    *,
    byzantine: int,
    neighbors: Neighbors = "n-f-2",
    power: Power = 2,
    known: Facts | None = None,
) -> Aggregate:
    """Choose the update with the smallest sum of squared distances to its nearest others.

        s_i = Σ_{j ∈ N_i} ‖x_i − x_j‖²,   A(x) = x_i*,  i* = argmin s_i

    N_i are the n − f − 2 updates nearest to x_i, itself excluded, as in the paper of 2017, or
    the n − f − 1 of Allouah et al.: the n − f nearest, itself included. Some libraries have the
    one under the name of the other. Ties go to the smaller client id.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 3; 2f + 1 with ``n-f-1``.
    byzantine
        f, how many clients may lie.
    neighbors
        Which of the two: ``n-f-2`` or ``n-f-1``.
    power
        2. With 4 it sums ‖x_i − x_j‖⁴, as the code behind some published tables does by mistake:
        to compare with those, and for nothing else. No bound is proven for it.
    known
        What signals or rules have computed of the updates already.

    Returns
    -------
    Aggregate
        (d,) vector, a copy of one row; its client has all the influence.

    Example
    -------
    >>> krum(np.array([[0.0], [0.1], [0.2], [0.3], [9.0]]), byzantine=1).influence
    array([0., 1., 0., 0., 0.])

    References
    ----------
    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient
    Descent", NeurIPS 2017, section 4; n − f − 1: Allouah et al., "Fixing by Mixing", AISTATS
    2023.

    """
    distances = _squared_distances(values, known)
    if power == 4:  # noqa: PLR2004 - the power itself
        distances = _squares(distances, krum_scores(distances, byzantine, neighbors).min())
    return _average_of_best(values, distances, byzantine, 1, neighbors)


def multi_krum(
    values: Rows,
    *,
    byzantine: int,
    select: int | None = None,
    neighbors: Neighbors = "n-f-2",
    known: Facts | None = None,
) -> Aggregate:
    """Average the updates with the best Krum scores, each alike.

        A(x) = 1/m Σ x_i over the m smallest s_i

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 3; 2f + 1 with ``n-f-1``.
    byzantine
        f, how many clients may lie.
    select
        m, from 1 to n − f; n − f − 2 by default, n − f with ``n-f-1``.
    neighbors
        How many others a score counts, as for ``krum``: ``n-f-2`` or ``n-f-1``.
    known
        What signals or rules have computed of the updates already.

    Returns
    -------
    Aggregate
        (d,) vector, influence 1/m for the selected.

    Raises
    ------
    ConfigurationError
        If ``select`` is outside 1 to n − f for this cohort.

    Example
    -------
    >>> multi_krum(np.array([[0.0], [0.1], [0.2], [0.3], [9.0]]), byzantine=1).influence
    array([0. , 0.5, 0.5, 0. , 0. ])

    References
    ----------
    Blanchard et al., NeurIPS 2017, section 4 (Multi-Krum); Allouah et al., AISTATS 2023.

    """
    usual = len(values) - byzantine - (0 if neighbors == "n-f-1" else 2)
    m = usual if select is None else select
    return _average_of_best(values, _squared_distances(values, known), byzantine, m, neighbors)


def _squared_distances(values: Rows, known: Facts | None) -> NDArray[np.float64]:
    return squared_distances(values) if known is None else known.distances


def _squares(distances: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return squares in a unit near that of ``unit``, so that those of its size are in range."""
    with np.errstate(over="ignore"):
        squares: NDArray[np.float64] = np.square(np.ldexp(distances, -np.frexp(unit)[1]))
    return squares


def _average_of_best(
    values: Rows,
    distances: NDArray[np.float64],
    byzantine: int,
    count: int,
    neighbors: Neighbors,
) -> Aggregate:
    """Return the mean of the ``count`` rows with the smallest scores."""
    n = len(values)
    if not 1 <= count <= n - byzantine:
        msg = f"multi_krum needs select from 1 to n - f = {n - byzantine}; got {count}."
        raise ConfigurationError(msg)
    scores = krum_scores(distances, byzantine, neighbors)
    influence = np.zeros(n)
    influence[np.argsort(scores, kind="stable")[:count]] = 1.0 / count
    return Aggregate(combine(influence[None, :], values)[0], influence)


def kappa(n: int, byzantine: int) -> float:
    """Return κ = (n−f)/(n−2f−1) · (1 + √(2(n−f−2)/(n−f−1)))² for n − f − 2 neighbors.

    The proof, and κ for n − f − 1, are in docs/explanation/laws.md.

    >>> round(kappa(10, 2), 2)
    8.53
    """
    honest = n - byzantine
    spread = sqrt(2 * (honest - 2) / (honest - 1))
    return honest / (honest - byzantine - 1) * (1 + spread) ** 2


def min_clients(byzantine: int, select: int | None = None, neighbors: Neighbors = "n-f-2") -> int:
    """Return the smallest n.

    >>> min_clients(2), min_clients(2, neighbors="n-f-1"), min_clients(2, select=9)
    (7, 5, 11)
    """
    least = 2 * byzantine + (1 if neighbors == "n-f-1" else 3)
    return max(least, (select or 0) + byzantine)


_TRAITS = frozenset({"translation", "scale", "rotation", "resilient"})

SPEC = Spec(
    name="krum",
    kind="aggregator",
    apply=krum,
    min_clients=lambda byzantine, neighbors="n-f-2": min_clients(byzantine, None, neighbors),
    traits=_TRAITS,
    kappa=kappa,
    complexity="O(n² d)",
    reference=_REFERENCE,
)

MULTI_KRUM_SPEC = Spec(
    name="multi_krum",
    kind="aggregator",
    apply=multi_krum,
    min_clients=min_clients,
    traits=_TRAITS,
    kappa=kappa,
    complexity="O(n² d)",
    reference=_REFERENCE,
)
