"""The geometric median, converged (Chen et al. 2017; Pillutla et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.pairwise import central_gram
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.kernels.pairwise import CentralGram
    from quickthorn.strategies.kernels.rows import Rows

# Newton's steps need about ten; the bound only says that the loop ends.
_MAX_STEPS = 200


def geometric_median(
    values: Rows, *, tolerance: float = 1e-10, known: Facts | None = None
) -> Aggregate:
    """Find the point with the smallest sum of distances to the updates.

        A(x) = argmin_z Σ ‖z − x_i‖ = Σ w_i x_i,   w_i ∝ 1 / max(ν, ‖z − x_i‖)

    Solved for the weights alone, in the span of the rows, from their n × n products; the data
    is read twice. A row that is itself the minimizer is recognized as such; otherwise
    Newton's steps, each followed by one of Weiszfeld's and never uphill, start beside the best row,
    until no weight moves by more than ``tolerance``. ν is what rounding leaves of a distance,
    relative to the data. Where the rows lie on one line and the minimizer is a segment,
    it is the middle of its ends. A row whose square overflows float64 is left out.

    Parameters
    ----------
    values
        (n, d) updates; fewer than n/2 of them may lie.
    tolerance
        When a weight counts as settled; above 0, below 1.
    known
        What signals or rules have computed of the updates already.

    Returns
    -------
    Aggregate
        (d,) vector, influence w_i.

    Raises
    ------
    ConfigurationError
        If ``tolerance`` is not between 0 and 1.

    Example
    -------
    >>> geometric_median(np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 3**0.5]])).vector.round(6)
    array([1.     , 0.57735])

    References
    ----------
    Chen, Su and Xu, "Distributed Statistical Machine Learning in Adversarial Settings",
    POMACS 2017; smoothed weights: Pillutla et al., "Robust Aggregation for Federated
    Learning", IEEE TSP 2022; at the rows: Vardi and Zhang, PNAS 2000.

    """
    if not 0 < tolerance < 1:
        msg = f"tolerance of geometric_median must be above 0 and below 1; got {tolerance}."
        raise ConfigurationError(msg)
    gram = central_gram(values) if known is None else known.central
    influence = np.zeros(len(values))
    influence[gram.near] = median_weights(gram, tolerance)
    return Aggregate(combine(influence[None, :], values)[0], influence)


def median_weights(gram: CentralGram, tolerance: float) -> NDArray[np.float64]:
    """Return the weights of the rows that are near, summing to 1.

    Parameters
    ----------
    gram
        The products of the rows.
    tolerance
        When a weight counts as settled.

    """
    products = gram.products[np.ix_(gram.near, gram.near)]
    rounding = gram.rounding[gram.near]
    norms = np.diag(products)
    apart = norms[:, None] + norms - 2.0 * products
    alike = apart <= rounding[:, None] + rounding
    copies = alike.sum(axis=1)
    # Row k pulled by the others with force 1 each: the minimizer if its copies can hold it.
    inverse = 1.0 / np.sqrt(np.where(alike, np.inf, apart))
    sums = inverse.sum(axis=1)
    blend = inverse @ products
    pull = np.sqrt(
        np.maximum(
            (blend * inverse).sum(axis=1) - 2.0 * np.diag(blend) * sums + norms * sums**2, 0.0
        )
    )
    optimal = pull <= copies + tolerance * len(products)
    if optimal.any():
        weights: NDArray[np.float64] = np.where(optimal, 1.0 / copies, 0.0)
        weights /= weights.sum()
        return weights
    best = int(np.argmin(np.where(alike, 0.0, np.sqrt(np.maximum(apart, 0.0))).sum(axis=1)))
    share = copies[best] / pull[best]
    start = (1.0 - share) * inverse[best] / sums[best] + share * alike[best] / copies[best]
    smoothing = np.maximum(rounding, np.finfo(np.float64).eps * np.median(norms))
    return _descend(start, products, smoothing, tolerance)


def _descend(
    weights: NDArray[np.float64],
    products: NDArray[np.float64],
    smoothing: NDArray[np.float64],
    tolerance: float,
) -> NDArray[np.float64]:
    """Minimize Σ ‖z − x_i‖ over z = Σ w_i x_i, from a point below every row.

    With r_i = ‖z − x_i‖, u_i = (z − x_i)/r_i, s = Σ 1/r_i and K = (⟨u_i, u_j⟩), Newton's step
    −Σ a_i u_i has a = (1 + (s diag(r) − K)⁻¹ K1)/s, and Weiszfeld's a = 1/s. Lengths are
    compared by their differences, which stay exact beside a row that is far away.
    """
    for _ in range(_MAX_STEPS):
        along = products @ weights
        level = weights @ along
        squares = np.maximum(level - 2.0 * along + np.diag(products), smoothing)
        lengths = np.sqrt(squares)
        units = level - along[:, None] - along + products
        units /= lengths[:, None] * lengths
        step = _newton_step(units, lengths, squares, smoothing)
        moved = weights * (1.0 - (step / lengths).sum()) + step / lengths
        along = products @ moved
        squares = moved @ along - 2.0 * along + np.diag(products)
        after = 1.0 / np.sqrt(np.maximum(squares, smoothing))
        after /= after.sum()
        change = float(np.abs(after - weights).max())
        weights = after
        if change <= tolerance:
            break
    return weights


def _newton_step(
    units: NDArray[np.float64],
    lengths: NDArray[np.float64],
    squares: NDArray[np.float64],
    smoothing: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the a_i of the longest halving of Newton's step that goes down, or Weiszfeld's."""
    total = (1.0 / lengths).sum()
    scale = 1.0 / np.sqrt(total * lengths)
    system = (1.0 + 1e-12) * np.eye(len(units)) - scale[:, None] * units * scale
    solved: NDArray[np.float64] = scale * np.linalg.solve(system, scale * units.sum(axis=1))
    newton = (1.0 + solved) / total
    for halving in range(8):
        step: NDArray[np.float64] = newton / 2.0**halving
        along = units @ step
        growth = step @ along - 2.0 * lengths * along
        longer = np.sqrt(np.maximum(squares + growth, smoothing))
        change = growth / (longer + lengths)
        # At the minimum the changes cancel, and what is left of them is rounding.
        if change.sum() <= 1e-7 * np.abs(change).sum():
            return step
    return np.full(len(units), 1.0 / total)


def kappa(n: int, byzantine: int) -> float:
    """Return κ = (2(n − f) / (n − 2f))²; the proof is in docs/explanation/laws.md.

    >>> round(kappa(10, 2), 2)
    7.11
    """
    return (2 * (n - byzantine) / (n - 2 * byzantine)) ** 2


SPEC = Spec(
    name="geometric_median",
    kind="aggregator",
    apply=geometric_median,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "rotation", "resilient"}),
    kappa=kappa,
    complexity="O(n² d + n³)",
    reference="Chen et al., POMACS 2017; Pillutla et al., IEEE TSP 2022",
)
