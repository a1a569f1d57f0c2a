"""Divide and conquer (Shejwalkar and Houmansadr 2021): drop what stands out spectrally."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.kernels.spectral import outlier_scores
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def dnc(  # noqa: PLR0913 - the paper's parameters
    values: Rows,
    *,
    byzantine: int,
    rng: np.random.Generator,
    iterations: int = 1,
    dimensions: int = 10_000,
    multiple: float = 1.0,
) -> Aggregate:
    """Average the updates that lie least far along the direction in which all differ most.

        s_i = ⟨x_i − μ, v⟩²,   v the top right-singular vector of the rows x_i − μ

    Each iteration looks at ``dimensions`` coordinates drawn anew and drops the c·f clients with
    the largest s_i (ties drop the larger client id first). The result is the mean, over all
    coordinates, of the clients that no iteration dropped. Where several iterations leave
    nobody, those dropped in the fewest iterations are averaged instead.

    One iteration can miss liars of unequal length: the longest pull μ and v to themselves, and an
    honest client may lie farther along v than a shorter liar. There is no bound on what such a
    liar does; ``clip`` or ``arc`` in front makes lengths alike.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1 and n > c·f.
    byzantine
        f, how many clients may lie.
    rng
        Draws the coordinates; nothing is drawn where d <= ``dimensions``, and then one
        iteration sees what all would.
    iterations
        At least 1; up to 5 in practice, each of which may drop other clients.
    dimensions
        b, at least 1.
    multiple
        c; round(c·f) clients are dropped, at least 1 where f > 0, and fewer than n.

    Returns
    -------
    Aggregate
        (d,) vector, influence alike for the clients kept.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range for this cohort.

    Example
    -------
    >>> rows = np.array([[0.0, 0.1], [0.1, 0.0], [0.2, 0.1], [9.0, 9.0]])
    >>> dnc(rows, byzantine=1, rng=np.random.default_rng(0)).influence.round(2)
    array([0.33, 0.33, 0.33, 0.  ])

    References
    ----------
    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks
    and Defenses for Federated Learning", NDSS 2021.

    """
    n, d = values.shape
    drop = _count(n, byzantine, iterations, dimensions, multiple)
    dropped = np.zeros(n, np.int64)
    for _ in range(iterations if dimensions < d else 1):
        columns = np.arange(d)
        if dimensions < d:
            columns = np.sort(rng.choice(d, dimensions, replace=False))
        order = np.argsort(outlier_scores(values, columns), kind="stable")
        dropped[order[n - drop :]] += 1
    kept = dropped == dropped.min()
    influence = kept / np.count_nonzero(kept)
    return Aggregate(combine(influence[None, :], values)[0], influence)


def _count(n: int, byzantine: int, iterations: int, dimensions: int, multiple: float) -> int:
    """Return how many clients one iteration drops, once the parameters are checked."""
    for name, value in (("iterations", iterations), ("dimensions", dimensions)):
        if value < 1:
            msg = f"{name} of dnc must be at least 1; got {value}."
            raise ConfigurationError(msg)
    drop = round(multiple * byzantine)
    if multiple <= 0 or not min(byzantine, 1) <= drop < n:
        msg = (
            f"multiple of dnc must be above 0 and drop at least 1 and fewer than n={n} clients; "
            f"got {multiple}, which drops {drop} for byzantine={byzantine}."
        )
        raise ConfigurationError(msg)
    return drop


SPEC = Spec(
    name="dnc",
    kind="aggregator",
    apply=dnc,
    min_clients=lambda byzantine, multiple=1.0: max(
        2 * byzantine + 1, round(multiple * byzantine) + 1
    ),
    traits=frozenset({"translation", "scale"}),
    complexity="O(iterations · n² b + n d)",
    reference="Shejwalkar and Houmansadr, NDSS 2021",
)
