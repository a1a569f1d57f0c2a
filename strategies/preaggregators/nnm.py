"""Nearest-neighbor mixing (Allouah et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.pairwise import squared_distances
from quickthorn.strategies.kernels.rows import mix
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Mixed

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.kernels.rows import Rows


def nnm(values: Rows, *, byzantine: int, known: Facts | None = None) -> Mixed:
    """Replace every update by the mean of its n − f nearest updates, itself included.

        y_i = 1/(n − f) Σ_{j ∈ N_i} x_j

    The honest rows draw together while their mean hardly moves, which makes a rule behind it
    usable on unequal data. Ties in distance go to the smaller client id.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie.
    known
        What signals or rules have computed of the updates already.

    Returns
    -------
    Mixed
        (n, d) rows and the (n, n) mixing matrix.

    Example
    -------
    >>> nnm(np.array([[0.0], [1.0], [9.0]]), byzantine=1).values[:, :].tolist()
    [[0.5], [0.5], [5.0]]

    References
    ----------
    Allouah et al., "Fixing by Mixing: A Recipe for Optimal Byzantine ML under
    Heterogeneity", AISTATS 2023, Algorithm 2 and Lemma 5.

    """
    n = len(values)
    distances = squared_distances(values) if known is None else known.distances.copy()
    np.fill_diagonal(distances, -1.0)  # itself first, also among its duplicates
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : n - byzantine]
    mixing = np.zeros((n, n))
    np.put_along_axis(mixing, nearest, 1.0 / (n - byzantine), axis=1)
    # Shared: no row lacks one more than three times as long as those it has (speed.md has why).
    return Mixed(mix(mixing, values, shared=True), mixing)


def kappa(n: int, byzantine: int) -> float:
    """Return the factor of κ' = 8f/(n−f) · (κ + 1) (Lemma 5 of the paper).

    >>> kappa(10, 2)
    2.0
    """
    return 8 * byzantine / (n - byzantine)


SPEC = Spec(
    name="nnm",
    kind="preaggregator",
    apply=nnm,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "rotation", "resilient"}),
    kappa=kappa,
    complexity="O(n² d)",
    reference="Allouah et al., AISTATS 2023",
)
