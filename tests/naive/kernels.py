"""Norms and distances, one element at a time."""

from __future__ import annotations

from math import fsum, hypot

Rows = list[list[float]]


def norms(rows: Rows) -> list[float]:
    """Return ‖x_i‖ of every row."""
    return [hypot(*row) for row in rows]


def exact(value: float) -> int:
    """Return a float as a whole multiple of the smallest one, 2^-1074."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << 1074) // denominator


def squared_distance(one: list[float], other: list[float]) -> int:
    """Return ‖x − y‖² exactly, in units of 2^-2148: no overflow, and no accidental tie."""
    return sum((exact(a) - exact(b)) ** 2 for a, b in zip(one, other, strict=True))


def squared_distances(rows: Rows) -> list[list[int]]:
    """Return ‖x_i − x_j‖² for every pair, in the same units."""
    return [[squared_distance(one, other) for other in rows] for one in rows]


def average(numbers: list[float]) -> float:
    """Return the mean; divided before it is summed, so that nothing overflows."""
    return fsum(number / len(numbers) for number in numbers)


def columns(rows: Rows) -> Rows:
    """Return the coordinates, each as the list of its n values."""
    return [[row[k] for row in rows] for k in range(len(rows[0]))]
