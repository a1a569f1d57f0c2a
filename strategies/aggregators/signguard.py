"""SignGuard (Xu et al. 2022): filter by length and by the signs of the coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.meanshift import mean_shift
from quickthorn.strategies.kernels.rows import combine, row_norms
from quickthorn.strategies.kernels.signs import sign_shares
from quickthorn.strategies.preaggregators.clip import shorten
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

# Shares of signs that differ by less than this differ by rounding.
_ROUNDING = 1e-9


def signguard(
    values: Rows,
    *,
    rng: np.random.Generator,
    lower: float = 0.1,
    upper: float = 3.0,
    share: float = 0.1,
) -> Aggregate:
    """Average who has a usual length and usual signs, each clipped to the median norm.

        S₁ = {i : L ≤ ‖x_i‖ / M ≤ R},   M = median_i ‖x_i‖
        S₂ = the largest cluster of (p_i, z_i, q_i), the shares of positive, zero, negative signs
        A(x) = 1/|S₁ ∩ S₂| Σ x_i min(1, M / ‖x_i‖) over S₁ ∩ S₂

    The signs are those of coordinates drawn anew in each round, so that a liar cannot keep to
    the ones that nobody looks at. Updates that differ little in length and distance, such as
    those of "a little is enough", differ in their signs. Where the two filters leave nobody,
    the first one decides alone; where it leaves nobody, all are averaged, clipped.

    Clusters are those of a mean shift with a flat kernel whose radius is the mean distance
    to the ⌊n/2⌋-th nearest, itself included (to the nearest other, for three and fewer), as in
    the authors' code. There each share is divided by its largest, and the coordinates are one
    consecutive block; here the shares stay as they are, of coordinates drawn one by one.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    rng
        Draws the coordinates: of each 32768 successive ones that share, rounded up.
    lower
        L, from 0 to 1, in median norms.
    upper
        R, at least 1, in median norms.
    share
        Of the coordinates whose signs are counted, above 0, at most 1.

    Returns
    -------
    Aggregate
        (d,) vector. Influence is alike for those kept: it counts the clipped updates.

    Raises
    ------
    ConfigurationError
        If a parameter is outside its range.

    Example
    -------
    >>> rows = np.array([[1.0, 2.0], [1.2, 2.2], [0.9, 1.8], [-1.0, -2.0], [90.0, 90.0]])
    >>> signguard(rows, rng=np.random.default_rng(0)).influence.round(2)
    array([0.33, 0.33, 0.33, 0.  , 0.  ])

    References
    ----------
    Xu, Huang, Song and Lan, "Byzantine-robust Federated Learning through Collaborative
    Malicious Gradient Filtering", ICDCS 2022; arXiv:2109.05872, Algorithm 2.

    """
    _check(lower, upper, share)
    norms = row_norms(values)
    limit = median(norms[:, None]).vector.item()
    usual = (norms >= lower * limit) & (norms <= upper * limit)
    kept = usual & largest_cluster(sign_shares(values, share, rng))
    if not kept.any():
        kept = usual if usual.any() else ~usual
    influence = kept / np.count_nonzero(kept)
    return Aggregate(combine(influence[None, :], shorten(values, norms, limit))[0], influence)


def largest_cluster(shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return who is in the cluster with the most members; among equals, in the densest.

    >>> largest_cluster(np.array([[0.5, 0.0, 0.5], [0.6, 0.0, 0.4], [0.0, 0.0, 1.0]]))
    array([ True,  True, False])
    """
    nearest = min(max(len(shares) // 2, 2), len(shares)) - 1
    apart = np.sqrt(((shares[:, None] - shares) ** 2).sum(axis=2))
    width = float(np.sort(apart, axis=1)[:, nearest].mean())
    labels = mean_shift(shares, width + _ROUNDING)
    members: NDArray[np.bool_] = labels == np.bincount(labels[labels >= 0]).argmax()
    return members


def _check(lower: float, upper: float, share: float) -> None:
    if not 0 <= lower <= 1 <= upper:
        msg = (
            "signguard needs lower from 0 to 1 and upper of at least 1, in median norms; "
            f"got {lower} and {upper}."
        )
        raise ConfigurationError(msg)
    if not 0 < share <= 1:
        msg = f"share of signguard must be above 0 and at most 1; got {share}."
        raise ConfigurationError(msg)


SPEC = Spec(
    name="signguard",
    kind="aggregator",
    apply=signguard,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"scale"}),
    complexity="O(n d + n²)",
    reference="Xu et al., ICDCS 2022",
)
