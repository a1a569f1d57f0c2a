"""FLAME (Nguyen et al. 2022): keep the majority's direction, clip to the median norm, add noise."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.csgraph import connected_components

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.angles import cosine_matrix
from quickthorn.strategies.kernels.noise import disturb
from quickthorn.strategies.kernels.rows import combine, row_norms
from quickthorn.strategies.preaggregators.clip import shorten
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

# A cosine distance below this is rounding.
_ALIKE = 1e-12


def flame(values: Rows, *, rng: np.random.Generator, noise: float = 0.001) -> Aggregate:
    """Average the majority that points one way, each clipped to the median norm; add noise.

        A(x) = 1/|B| Σ_{i ∈ B} x_i min(1, S / ‖x_i‖) + N(0, (λ S)²),   S = median_i ‖x_i‖

    B is the first cluster of more than n/2 updates that grows out of the cosine distances
    1 − cos(x_i, x_j), and S the median over all n, not over B alone. Clustering leaves out
    who points elsewhere, clipping who pushes hard, and the noise, in every coordinate alike,
    covers what a backdoor that passed both still says.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1. The paper compares whole models; a rule knows the
        updates, and of those the direction, which says more.
    rng
        Draws d normal numbers; nothing is drawn where ``noise`` is 0.
    noise
        λ, at least 0, in median norms: 0.001 as in published implementations. The paper derives
        it as √(2 ln(1.25/δ)) / ε for (ε, δ)-privacy. In Euclidean norm the noise has λ √d S:
        with ten million parameters three times an update. Without it the rule leaves a backdoor
        that hides within the majority as it is.

    Returns
    -------
    Aggregate
        (d,) vector. Influence is 1/|B| for the members of B: it counts the clipped updates,
        without the noise, which is nobody's.

    Raises
    ------
    ConfigurationError
        If ``noise`` is negative.

    Example
    -------
    >>> rows = np.array([[1.0, 0.0], [2.0, 0.1], [3.0, 0.0], [-9.0, 9.0]])
    >>> outcome = flame(rows, rng=np.random.default_rng(0), noise=0.0)
    >>> outcome.influence.round(2), outcome.vector.round(2)
    (array([0.33, 0.33, 0.33, 0.  ]), array([1.83, 0.03]))

    References
    ----------
    Nguyen et al., "FLAME: Taming Backdoors in Federated Learning", USENIX Security 2022,
    Algorithm 1.

    """
    if noise < 0:
        msg = f"noise of flame must be at least 0 median norms; got {noise}."
        raise ConfigurationError(msg)
    distances = 1.0 - cosine_matrix(values)
    distances[distances < _ALIKE] = 0.0
    members = majority(distances)
    norms = row_norms(values)
    limit = median(norms[:, None]).vector.item()
    influence = members / np.count_nonzero(members)
    vector = combine(influence[None, :], shorten(values, norms, limit))[0]
    if noise > 0:
        disturb(vector, noise * limit, rng)
    return Aggregate(vector, influence)


def majority(distances: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the members of the first connected group of more than n/2.

    This is what HDBSCAN finds with ``min_cluster_size`` ⌊n/2⌋ + 1, ``min_samples`` 1 and
    ``allow_single_cluster``. Its core distances are then 0, so that its tree is that of
    single linkage; no split has two halves of more than n/2, so that the tree condenses to its
    root; and of the root it labels the points that stay to the end: the group that is
    connected at the smallest distance t at which one of that size is. There is always one, at
    the latest all n, so that unlike with other settings not everybody can be noise.

    Parameters
    ----------
    distances
        (n, n), symmetric.

    Returns
    -------
    NDArray[np.bool_]
        (n,).

    Example
    -------
    >>> x = np.array([0.0, 1.0, 1.5, 9.0])
    >>> majority(np.abs(x[:, None] - x))
    array([ True,  True,  True, False])

    References
    ----------
    Campello, Moulavi and Sander, "Density-Based Clustering Based on Hierarchical Density
    Estimates", PAKDD 2013.

    """
    n = len(distances)
    levels = np.unique(distances)

    def group(level: int) -> NDArray[np.bool_]:
        """Return the largest connected group at a level."""
        labels = connected_components(distances <= levels[level], directed=False)[1]
        members: NDArray[np.bool_] = labels == np.bincount(labels).argmax()
        return members

    def is_majority(level: int) -> bool:
        return 2 * int(np.count_nonzero(group(level))) > n

    return group(bisect_left(range(len(levels)), x=True, key=is_majority))


SPEC = Spec(
    name="flame",
    kind="aggregator",
    apply=flame,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"scale", "rotation"}),  # of what the noise is added to
    complexity="O(n² d)",
    reference="Nguyen et al., USENIX Security 2022",
)
