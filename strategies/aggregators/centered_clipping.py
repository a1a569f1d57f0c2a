"""Centered clipping (Karimireddy et al. 2021): clip around the previous aggregate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quickthorn.strategies.aggregators.median import median
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.kernels.rows import LARGEST, MODERATE
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array

# Columns that are summed at a time. Not the block size of the other kernels: the lengths, and
# with them every bit of the result, must not depend on that setting.
_CHUNK = 1 << 15


def centered_clipping(
    values: Array,
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
        If the state is of another length than the updates.

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
    center = _center(state, values.shape[1])
    for _ in range(iterations):
        lengths = distances_to(values, center)
        limit = median(lengths[:, None]).vector.item() if radius == "median" else radius
        _move(center, values, lengths, limit)
    return Aggregate(center.astype(values.dtype), state={"center": center})


def distances_to(values: Array, center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ‖x_i − v‖ of every row, in float64, without overflow; at most ``LARGEST``."""
    lengths = np.empty(len(values))
    with np.errstate(over="ignore", under="ignore"):
        for index, row in enumerate(values):
            length = _length(row, center, 1.0)
            if not MODERATE[0] < length < MODERATE[1]:  # squares left float64, or it is zero
                differences = (_difference(row, center, chunk) for chunk in _chunks(len(row)))
                peak = max(float(np.abs(part).max()) for part in differences)
                length = _length(row, center, min(peak, LARGEST) or 1.0)
            lengths[index] = min(length, LARGEST)
    return lengths


def _length(row: Array, center: NDArray[np.float64], scale: float) -> float:
    """Return ‖x − v‖, computed in units of ``scale``."""
    total = 0.0
    for chunk in _chunks(len(row)):
        part = _difference(row, center, chunk)
        if scale != 1.0:
            part /= scale
        part *= part
        total += float(np.add.reduce(part))
    return float(np.sqrt(total)) * scale


def _difference(row: Array, center: NDArray[np.float64], chunk: slice) -> NDArray[np.float64]:
    """Return x − v over ``chunk``, in memory of its own."""
    difference = row[chunk].astype(np.float64)
    difference -= center[chunk]
    return difference


def _move(
    center: NDArray[np.float64], values: Array, lengths: NDArray[np.float64], limit: float
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
    for chunk in _chunks(len(center)):
        moved = center[chunk] * kept
        for share, row in zip(shares, values, strict=True):
            moved += row[chunk].astype(np.float64) * share
        center[chunk] = moved


def _chunks(columns: int) -> Iterator[slice]:
    for start in range(0, columns, _CHUNK):
        yield slice(start, start + _CHUNK)


def _center(state: Mapping[str, Any] | None, columns: int) -> NDArray[np.float64]:
    """Return the point to begin at, in memory of its own."""
    if state is None:
        return np.zeros(columns)
    center: NDArray[np.float64] = np.array(state["center"], np.float64)
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
