"""Krum and Multi-Krum (Blanchard et al. 2017)."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.pairwise import squared_distances
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

_REFERENCE = "Blanchard et al., NeurIPS 2017"


def krum_scores(values: Rows, byzantine: int) -> NDArray[np.float64]:
    """Return each row's sum of squared distances to its n − f − 2 nearest others.

    Parameters
    ----------
    values
        (n, d) updates, n >= f + 3.
    byzantine
        f, how many clients may lie.

    Returns
    -------
    NDArray[np.float64]
        (n,); infinite for a row whose squares overflow.

    """
    distances = squared_distances(values)
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(distances, axis=1)[:, : len(values) - byzantine - 2]
    scores: NDArray[np.float64] = nearest.sum(axis=1)
    return scores


def krum(values: Rows, *, byzantine: int) -> Aggregate:
    """Choose the update with the smallest sum of squared distances to its nearest others.

        s_i = Σ_{j ∈ N_i} ‖x_i − x_j‖²,   A(x) = x_i*,  i* = argmin s_i

    N_i are the n − f − 2 updates nearest to x_i, itself excluded, as in the paper; some
    libraries sum over n − f − 1 or take fourth powers. Ties go to the smaller client id.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 3.
    byzantine
        f, how many clients may lie.

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
    Descent", NeurIPS 2017, section 4.

    """
    return multi_krum(values, byzantine=byzantine, select=1)


def multi_krum(values: Rows, *, byzantine: int, select: int | None = None) -> Aggregate:
    """Average the updates with the best Krum scores, each alike.

        A(x) = 1/m Σ x_i over the m smallest s_i

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 3.
    byzantine
        f, how many clients may lie.
    select
        m, from 1 to n − f; n − f − 2 by default.

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
    Blanchard et al., NeurIPS 2017, section 4 (Multi-Krum).

    """
    n = len(values)
    m = n - byzantine - 2 if select is None else select
    if not 1 <= m <= n - byzantine:
        msg = f"multi_krum needs select from 1 to n - f = {n - byzantine}; got {m}."
        raise ConfigurationError(msg)
    best = np.argsort(krum_scores(values, byzantine), kind="stable")[:m]
    influence = np.zeros(n)
    influence[best] = 1.0 / m
    return Aggregate(combine(influence[None, :], values)[0], influence)


def kappa(n: int, byzantine: int) -> float:
    """Return κ = (n−f)/(n−2f−1) · (1 + √(2(n−f−2)/(n−f−1)))²; docs/explanation/laws.md.

    >>> round(kappa(10, 2), 2)
    8.53
    """
    honest = n - byzantine
    spread = sqrt(2 * (honest - 2) / (honest - 1))
    return honest / (honest - byzantine - 1) * (1 + spread) ** 2


_TRAITS = frozenset({"translation", "scale", "rotation", "resilient"})

SPEC = Spec(
    name="krum",
    kind="aggregator",
    apply=krum,
    min_clients=lambda byzantine: 2 * byzantine + 3,
    traits=_TRAITS,
    kappa=kappa,
    complexity="O(n² d)",
    reference=_REFERENCE,
)

MULTI_KRUM_SPEC = Spec(
    name="multi_krum",
    kind="aggregator",
    apply=multi_krum,
    min_clients=lambda byzantine, select=None: max(2 * byzantine + 3, (select or 0) + byzantine),
    traits=_TRAITS,
    kappa=kappa,
    complexity="O(n² d)",
    reference=_REFERENCE,
)
