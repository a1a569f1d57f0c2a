"""Centered clipping (Karimireddy et al. 2021): clip around the previous aggregate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.kernels.rows import (
    LARGEST,
    combine,
    own_vector,
    rounded,
    row_norms,
)
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.supply import check_state
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows


def centered_clipping(
    values: Rows,
    *,
    state: Mapping[str, Any] | None,
    radius: float | Literal["median"] = "median",
    iterations: int = 1,
) -> Aggregate:
    """Move the previous aggregate by the mean of the differences to it, each clipped.

        v ← v + 1/n Σ (x_i − v) · min(1, τ / ‖x_i − v‖),   L times

    v begins as the result of the round before, and at zero in the first: a liar cannot place
    the center. Each client moves the result by at most τ/n in an iteration. The paper's
    guarantee wants a small share of liars (about 0.1) and momentum at the clients.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    state
        ``{"center": (d,) float64}`` of the round before, None in the first.
    radius
        τ > 0, in the unit of the updates, as in the paper. Momentum that clients do not damp,
        m ← β m + g, makes updates 1/(1 − β) times as long, and τ has to grow with it.
        ``"median"`` is ours: in each iteration the median of ‖x_i − v‖, which follows that
        by itself and which fewer than n/2 liars cannot move outside the honest distances.
    iterations
        L, at least 1.

    Returns
    -------
    Aggregate
        (d,) vector and the state; no influence, since a share of the vector is the previous
        one's.

    Raises
    ------
    ConfigurationError
        If a fixed radius is not positive or ``iterations`` is below 1.
    UpdateError
        If the state is of another length than the updates, or no state of this rule.

    Example
    -------
    >>> rows = np.array([[1.0], [2.0], [1e9]])
    >>> first = centered_clipping(rows, state=None, radius=3.0)
    >>> first.vector, centered_clipping(rows, state=first.state, radius=3.0).vector
    (array([2.]), array([2.66666667]))

    References
    ----------
    Karimireddy et al., "Learning from History for Byzantine Robust Optimization", ICML 2021.

    """
    if radius != "median" and radius <= 0:
        msg = f"radius of centered_clipping must be above 0 or 'median'; got {radius}."
        raise ConfigurationError(msg)
    if iterations < 1:
        msg = f"iterations of centered_clipping must be at least 1; got {iterations}."
        raise ConfigurationError(msg)
    center = _center(state, values)
    for _ in range(iterations):
        lengths = row_norms(values, center)
        limit = median(lengths[:, None]).vector.item() if radius == "median" else radius
        _move(center, values, lengths, limit)
    return Aggregate(rounded(center, values.dtype), state={"center": center})


def _move(
    center: NDArray[np.float64], values: Rows, lengths: NDArray[np.float64], limit: float
) -> None:
    """Do one iteration on ``center``, in place.

    With c_i = min(1, τ/‖x_i − v‖) / n the step is v ← (1 − Σ c_i) v + Σ c_i x_i, in which no
    difference can overflow.
    """
    n = len(values)
    longer = lengths > limit
    # A length beyond float64 has no share; nothing of such a row is left.
    shares = np.full(n, 1.0 / n)
    shares[longer] = np.where(lengths[longer] < LARGEST, limit / lengths[longer], 0.0) / n
    # Exactly 0 where nobody is clipped: the previous aggregate is then forgotten.
    kept = float(np.add.reduce(1.0 / n - shares))
    center *= kept
    center += combine(shares[None, :], values, center.dtype)[0]


def _center(state: Mapping[str, Any] | None, values: Rows) -> NDArray[np.float64]:
    """Return the point to begin at, in memory of its own."""
    check_state(state, "center", who="centered_clipping")
    columns = values.shape[1]
    center: NDArray[np.float64] = own_vector(values, None if state is None else state["center"])
    if center.shape != (columns,):
        msg = (
            f"the state of centered_clipping is of shape {center.shape}, the updates have "
            f"{columns} columns; pass the state of the same model, or None to begin anew."
        )
        raise UpdateError(msg)
    return center


SPEC = Spec(
    name="centered_clipping",
    kind="aggregator",
    apply=centered_clipping,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"scale", "rotation"}),  # scale: by the default radius, not by a fixed one
    complexity="O(L n d)",
    reference="Karimireddy et al., ICML 2021",
)
