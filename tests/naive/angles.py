"""Rules that look at directions, word for word from their papers."""

from __future__ import annotations

from math import fsum, hypot

from tests.naive.kernels import Rows, columns


def fltrust(rows: Rows, *, trusted: list[float]) -> list[float]:
    """Average the rows at the length of the trusted one, by their positive cosines to it."""
    trust = [max(cosine(row, trusted), 0.0) for row in rows]
    if sum(trust) == 0.0:
        return [0.0] * len(trusted)
    return [
        fsum(t / sum(trust) * x for t, x in zip(trust, column, strict=True))
        for column in columns(lengthened(rows, trusted))
    ]


def lengthened(rows: Rows, trusted: list[float]) -> Rows:
    """Return the rows, each as long as the trusted one."""
    return [[x * hypot(*trusted) for x in direction(row)] for row in rows]


def cosine(one: list[float], other: list[float]) -> float:
    """Return the cosine of two rows, 0 where one of them is zero."""
    return fsum(x * y for x, y in zip(direction(one), direction(other), strict=True))


def direction(row: list[float]) -> list[float]:
    """Return x / ‖x‖, or zeros; in units of the largest element, so that no square is lost."""
    largest = max(abs(x) for x in row) or 1.0
    scaled = [x / largest for x in row]
    return [x / (hypot(*scaled) or 1.0) for x in scaled]
