"""Rules that look at directions or trust a vector, word for word from their papers."""

from __future__ import annotations

from math import fsum, hypot, log
from typing import TYPE_CHECKING

from tests.naive.aggregators import mean
from tests.naive.kernels import Rows, columns, squared_distance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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


def cosine(one: list[float], other: list[float]) -> float:
    """Return the cosine of two rows, 0 where one of them is zero."""
    return fsum(x * y for x, y in zip(direction(one), direction(other), strict=True))


def direction(row: list[float]) -> list[float]:
    """Return x / ‖x‖, or zeros; in units of the largest element, so that no square is lost."""
    largest = max(abs(x) for x in row) or 1.0
    scaled = [x / largest for x in row]
    return [x / (hypot(*scaled) or 1.0) for x in scaled]
