"""Minimum-diameter averaging, exact (Rousseeuw 1985; El-Mhamdi et al. 2020)."""

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
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.rows import Rows

# The search visits at most 1.4656^f nodes per threshold; for f = 24 that is 10 000.
MAX_LIARS = 24

# Rows with no more conflicts than this, and none with a single one, form cycles.
_CYCLE = 2


def mda(values: Rows, *, byzantine: int) -> Aggregate:
    """Average the n − f updates that lie closest together: the set of the smallest diameter.

        A(x) = mean of S*,   S* = argmin_{|S| = n−f} max_{i,j ∈ S} ‖x_i − x_j‖

    Exact. Whether a diameter t is possible is a question about a graph: join the rows
    farther apart than t, and ask for at most f rows that touch every edge. A search by
    bisection over the distances asks it O(log n) times, each at most 1.47^f steps. Several
    sets often share the smallest diameter; the first one in the order of the client ids wins.

    Parameters
    ----------
    values
        (n, d) updates, n >= 2f + 1.
    byzantine
        f, how many clients may lie; at most 24.

    Returns
    -------
    Aggregate
        (d,) vector, influence 1/(n − f) for the chosen.

    Raises
    ------
    ConfigurationError
        If f is beyond the bound of the search.

    Example
    -------
    >>> mda(np.array([[0.0], [0.1], [0.3], [9.0]]), byzantine=1).influence.round(2)
    array([0.33, 0.33, 0.33, 0.  ])

    References
    ----------
    El-Mhamdi et al., "Genuinely Distributed Byzantine Machine Learning", PODC 2020;
    Rousseeuw, "Multivariate Estimation with High Breakdown Point", 1985.

    """
    if byzantine > MAX_LIARS:
        msg = (
            f"mda searches up to 1.47^f sets and accepts byzantine <= {MAX_LIARS}; "
            f"got {byzantine}. Lower byzantine or use 'nnm | trimmed_mean'."
        )
        raise ConfigurationError(msg)
    chosen = smallest_diameter(squared_distances(values), len(values) - byzantine)
    influence = np.zeros(len(values))
    influence[chosen] = 1.0 / len(chosen)
    return Aggregate(combine(influence[None, :], values)[0], influence)


def smallest_diameter(distances: NDArray[np.float64], size: int) -> list[int]:
    """Return the ``size`` rows of the smallest diameter, the first such set in row order.

    Parameters
    ----------
    distances
        (n, n) symmetric, zero diagonal; infinite entries are allowed.
    size
        How many rows to keep.

    """
    n = len(distances)
    everyone = (1 << n) - 1
    levels = np.unique(distances)
    low, high = 0, len(levels) - 1  # levels[high] is always possible
    while low < high:
        middle = (low + high) // 2
        if _cover(_conflicts(distances, levels[middle]), everyone, n - size) is None:
            low = middle + 1
        else:
            high = middle
    conflicts = _conflicts(distances, levels[high])
    removed = _cover(conflicts, everyone, n - size) or 0
    out = 0  # rows that cannot stay beside the ones kept so far
    kept: list[int] = []
    for row in range(n):
        if out >> row & 1:
            continue
        if removed >> row & 1:  # the cover at hand drops it: is there one that does not?
            forced = out | conflicts[row]
            rest = everyone & ~forced & ~(1 << row)
            other = _cover(conflicts, rest, n - size - forced.bit_count())
            if other is None:
                out |= 1 << row
                continue
            removed = other | forced
        out |= conflicts[row]
        kept.append(row)
        if len(kept) == size:
            break
    return kept


def _conflicts(distances: NDArray[np.float64], limit: float) -> list[int]:
    """Return for each row, as bits, the rows farther from it than ``limit``."""
    packed = np.packbits(distances > limit, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def _cover(conflicts: list[int], alive: int, budget: int) -> int | None:
    """Return at most ``budget`` rows, as bits, that touch every conflict, or None.

    A row of one conflict is left alone and its partner taken; what remains of rows of two
    conflicts are cycles. A row of three or more is taken, or all that conflict with it are:
    T(k) = T(k − 1) + T(k − 3), at most 1.4656^k nodes.
    """
    if budget < 0:
        return None
    taken = 0
    while True:
        degrees = [((conflicts[row] & alive).bit_count(), row) for row in _bits(alive)]
        most, row = max(degrees, default=(0, 0), key=lambda pair: (pair[0], -pair[1]))
        if most == 0:
            return taken
        if sum(degree for degree, _ in degrees) > 2 * budget * most:
            return None
        leaf = next((leaf for degree, leaf in degrees if degree == 1), None)
        if leaf is not None:
            row = (conflicts[leaf] & alive).bit_length() - 1
        elif _CYCLE < most <= budget:
            break
        taken, alive, budget = taken | 1 << row, alive & ~(1 << row), budget - 1
    with_row = _cover(conflicts, alive & ~(1 << row), budget - 1)
    if with_row is not None:
        return taken | 1 << row | with_row
    partners = conflicts[row] & alive
    without = _cover(conflicts, alive & ~partners & ~(1 << row), budget - most)
    return None if without is None else taken | partners | without


def _bits(mask: int) -> Iterator[int]:
    while mask:
        yield (mask & -mask).bit_length() - 1
        mask &= mask - 1


def kappa(n: int, byzantine: int) -> float:
    """Return κ = (√(f/(n − 2f)) + f √(2/(n − f)))²; the proof is in docs/explanation/laws.md.

    >>> round(kappa(10, 2), 2)
    2.49
    """
    honest = n - byzantine
    return (sqrt(byzantine / (honest - byzantine)) + byzantine * sqrt(2 / honest)) ** 2


SPEC = Spec(
    name="mda",
    kind="aggregator",
    apply=mda,
    min_clients=lambda byzantine: 2 * byzantine + 1,
    traits=frozenset({"translation", "scale", "rotation", "resilient"}),
    kappa=kappa,
    complexity="O(n² d + 1.47^f n log n), f ≤ 24",
    reference="El-Mhamdi et al., PODC 2020; Rousseeuw 1985",
)
