"""The mean weighted by claimed sample counts, with a cap on what a claim can buy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows


def weighted_mean(values: Rows, *, weights: NDArray[np.float64], cap: float = 3.0) -> Aggregate:
    """Average the updates by claimed sample counts, none above ``cap`` times the median claim.

        A(x) = Σ w_i x_i / Σ w_i,   w_i = min(claim_i, cap · median(claims))

    A sample count is a client's word. Uncapped, one claim of 10^12 owns the model. A claim
    that is not a positive finite number counts as the median of the valid ones. Still no
    defense against what the update itself says: compose it with clipping, or use a robust rule.

    Parameters
    ----------
    values
        (n, d) updates.
    weights
        (n,) claimed sample counts.
    cap
        The largest weight, in medians; at least 1.

    Returns
    -------
    Aggregate
        (d,) vector, influence w_i / Σ w_i.

    Raises
    ------
    ConfigurationError
        If ``cap`` is below 1.

    Example
    -------
    >>> claims = np.array([10.0, 10.0, 1e12])
    >>> weighted_mean(np.array([[0.0], [0.0], [5.0]]), weights=claims, cap=2.0).vector
    array([2.5])

    References
    ----------
    McMahan et al., AISTATS 2017, Algorithm 1, for the weights; the cap is ours.

    """
    if cap < 1:
        msg = f"cap of weighted_mean must be at least 1 (one median claim); got {cap}."
        raise ConfigurationError(msg)
    valid = np.isfinite(weights) & (weights > 0)
    weights = np.minimum(weights, np.finfo(np.float64).max / 2)  # so that two can be added up
    typical = float(np.median(weights[valid])) if valid.any() else 1.0
    capped = np.minimum(np.where(valid, weights, typical) / typical, cap)
    influence = capped / capped.sum()
    return Aggregate(combine(influence[None, :], values)[0], influence)


SPEC = Spec(
    name="weighted_mean",
    kind="aggregator",
    apply=weighted_mean,
    min_clients=lambda _byzantine: 1,
    traits=frozenset({"translation", "scale", "rotation"}),
    complexity="O(n d)",
    reference="McMahan et al., AISTATS 2017, weights capped",
)
