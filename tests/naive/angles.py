"""Rules that look at directions or trust a vector, word for word from their papers."""

from __future__ import annotations

from math import fsum, hypot, log
from typing import TYPE_CHECKING

from tests.naive.aggregators import mean, median
from tests.naive.kernels import Rows, columns, norms, squared_distance
from tests.naive.preaggregators import clip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np


def fltrust(rows: Rows, *, trusted: list[float]) -> list[float]:
    """Average the rows at the length of the trusted one, by their positive cosines to it."""
    trust = [max(cosine(row, trusted), 0.0) for row in rows]
    if sum(trust) == 0.0:
        return [0.0] * len(trusted)
    return [
        fsum(t / sum(trust) * x for t, x in zip(trust, column, strict=True))
        for column in columns(lengthened(rows, trusted))
    ]


def monna(rows: Rows, *, byzantine: int, trusted: list[float]) -> list[float]:
    """Average the n − f rows nearest to the trusted one, the first ones among equals."""
    order = sorted(range(len(rows)), key=lambda i: (squared_distance(rows[i], trusted), i))
    return mean([rows[i] for i in order[: len(rows) - byzantine]])


def lengthened(rows: Rows, trusted: list[float]) -> Rows:
    """Return the rows, each as long as the trusted one."""
    return [[x * hypot(*trusted) for x in direction(row)] for row in rows]


def foolsgold(
    rows: Rows,
    *,
    clients: Sequence[str],
    state: Mapping[str, list[float]] | None,
    confidence: float = 1.0,
) -> list[float]:
    """Average the rows by how little the sum of a client's rows resembles another's.

    ``state`` is the sum of each client's earlier rows, by name.
    """
    past = state or {}
    summed = [
        [x + y for x, y in zip(row, past.get(client, [0.0] * len(row)), strict=True)]
        for client, row in zip(clients, rows, strict=True)
    ]
    alphas = [alpha if alpha >= 1e-9 else 0.0 for alpha in uniqueness(summed)]
    weights = [
        1.0 if max(alphas) == 0.0 else ramp(alpha / max(alphas), confidence) for alpha in alphas
    ]
    return [
        fsum(w / sum(weights) * x for w, x in zip(weights, column, strict=True))
        for column in columns(rows)
    ]


def uniqueness(rows: Rows) -> list[float]:
    """Return 1 − the largest similarity to another row, after pardoning."""
    n = len(rows)
    similar = [[cosine(one, other) for other in rows] for one in rows]
    most = [max([0.0, *(similar[i][j] for j in range(n) if j != i)]) for i in range(n)]
    return [
        1.0
        - max(
            [
                0.0,
                *(
                    similar[i][j] * (most[i] / most[j] if most[j] > most[i] else 1.0)
                    for j in range(n)
                    if j != i
                ),
            ]
        )
        for i in range(n)
    ]


def ramp(alpha: float, confidence: float) -> float:
    """Return κ (ln(α / (1 − α)) + 1/2), cut to [0, 1]."""
    if alpha in {0.0, 1.0}:
        return alpha
    return min(max(confidence * (log(alpha / (1.0 - alpha)) + 0.5), 0.0), 1.0)


def flame(rows: Rows, *, rng: np.random.Generator, noise: float = 0.001) -> list[float]:
    """Average the majority, cut to the median norm of all; add noise of λ median norms."""
    cut = shortened(rows)
    average = mean([cut[i] for i in majority(cosine_distances(rows))])
    if noise == 0.0:
        return average
    deviation = noise * median([[length] for length in norms(rows)])[0]
    return [x + deviation * z for x, z in zip(average, rng.normal(size=len(average)), strict=True)]


def shortened(rows: Rows, _trusted: list[float] | None = None) -> Rows:
    """Return the rows, each cut to the median norm."""
    return clip(rows, radius="median")


def cosine_distances(rows: Rows) -> Rows:
    """Return 1 − cos for every pair; what rounding leaves of 0 is 0."""
    distances = [[1.0 - cosine(one, other) for other in rows] for one in rows]
    return [
        [0.0 if i == j or x < 1e-12 else x for j, x in enumerate(line)]
        for i, line in enumerate(distances)
    ]


def majority(distances: Rows) -> list[int]:
    """Join the two nearest, then the next two, until a group has more than half."""
    n = len(distances)
    groups = [{i} for i in range(n)]
    for level in sorted({x for line in distances for x in line}):
        for i in range(n):
            for j in range(n):
                if distances[i][j] <= level:
                    one, other = (next(g for g in groups if k in g) for k in (i, j))
                    if one is not other:
                        groups.remove(other)
                        one |= other
        largest = max(groups, key=len)
        if 2 * len(largest) > n:
            return sorted(largest)
    raise AssertionError


def cosine(one: list[float], other: list[float]) -> float:
    """Return the cosine of two rows, 0 where one of them is zero."""
    return fsum(x * y for x, y in zip(direction(one), direction(other), strict=True))


def direction(row: list[float]) -> list[float]:
    """Return x / ‖x‖, or zeros; in units of the largest element, so that no square is lost."""
    largest = max(abs(x) for x in row) or 1.0
    scaled = [x / largest for x in row]
    return [x / (hypot(*scaled) or 1.0) for x in scaled]
