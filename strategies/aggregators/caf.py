"""The covariance-bound agnostic filter (Allouah et al. 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.pairwise import central_gram
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.pairwise import CentralGram
    from quickthorn.strategies.kernels.rows import Rows


# A projection this close to the largest, relative to it, is the largest.
_SILENT = 1e-9


def caf(values: Rows, *, byzantine: int) -> Aggregate:
    """Filter along the direction of the largest variance, keep the mean of the least variance.

        c_i = 1;  while Σ c_i > n − 2f:
            μ = Σ c_i x_i / Σ c_i,   (λ, v) = top eigenpair of Σ c_i (x_i − μ)(x_i − μ)ᵀ / Σ c_i
            τ_i = ⟨v, x_i − μ⟩²,     c_i ← c_i (1 − τ_i / max_{c_j > 0} τ_j)
        A(x) = the μ of the smallest λ that was met

    The eigenpair is exact, from the n × n products of the rows. Every step silences at least
    one client, so there are fewer than n of them; a λ of zero ends the search. With f = 0 it
    is the mean.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie.

    Returns
    -------
    Aggregate
        (d,) vector, influence c_i / Σ c_i of the best step.

    Example
    -------
    >>> caf(np.array([[0.0], [1.0], [2.0], [1e6]]), byzantine=1).influence.round(2)
    array([0.33, 0.33, 0.33, 0.  ])

    References
    ----------
    Allouah et al., "Towards Trustworthy Federated Learning with Untrusted Participants",
    ICML 2025, Algorithm 2.

    """
    influence = filtered_weights(central_gram(values), byzantine)
    return Aggregate(combine(influence[None, :], values)[0], influence)


def filtered_weights(gram: CentralGram, byzantine: int) -> NDArray[np.float64]:
    """Return the (n,) weights, summing to 1, of the step with the smallest λ.

    Parameters
    ----------
    gram
        The products of the rows; a row that is not near begins at weight zero.
    byzantine
        f, how many clients may lie.

    """
    weights = gram.near.astype(np.float64)
    best: NDArray[np.float64] = weights / weights.sum()
    least = np.inf
    while weights.sum() > len(weights) - 2 * byzantine:
        shares = weights / weights.sum()
        value, projections = _top(gram, shares)
        if value < least:
            best, least = shares, value
        active = weights > 0.0
        peak = float(projections[active].max())
        if value == 0.0 or peak == 0.0:
            break
        left = 1.0 - projections / peak
        weights = np.where(active & (left > _SILENT), weights * left, 0.0)
    return best


def _top(gram: CentralGram, shares: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return λ of the weighted covariance, and τ_i up to one common factor.

    With B the products about μ and C = diag(shares), C^½ B C^½ has the eigenvalues of the
    covariance, and its eigenvector a gives ⟨v, x_i − μ⟩ = (B C^½ a)_i / √λ.
    """
    active = np.flatnonzero(shares)
    inside, own = gram.products[np.ix_(active, active)], shares[active]
    along = inside @ own
    centered = inside - along - along[:, None] + own @ along
    root = np.sqrt(own)
    values, vectors = np.linalg.eigh(centered * root * root[:, None])
    value = float(values[-1])
    projections = np.zeros(len(shares))
    if value <= float(gram.rounding[active].max()):
        return 0.0, projections  # float64 cannot tell it from no spread at all
    projections[active] = (centered @ (root * vectors[:, -1])) ** 2
    return value, projections


SPEC = Spec(
    name="caf",
    kind="aggregator",
    apply=caf,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "rotation"}),
    complexity="O(n² d + n⁴)",
    reference="Allouah et al., ICML 2025",
)
