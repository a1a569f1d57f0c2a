"""Twins of the attacks on updates: lists of floats, one value at a time, from the papers.

The searches probe with whole rows, and the choices are those of the naive rules.
"""

from __future__ import annotations

import math
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from tests.naive.aggregators import krum

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.naive.kernels import Rows

Row = list[float]


def mean_row(rows: Rows) -> Row:
    return [fmean(column) for column in zip(*rows, strict=True)]


def std_row(rows: Rows) -> Row:
    return [stdev(column) if len(rows) > 1 else 0.0 for column in zip(*rows, strict=True)]


def distance(x: Row, y: Row) -> float:
    return math.dist(x, y)


def step(start: Row, factor: float, direction: Row) -> Row:
    return [a + factor * b for a, b in zip(start, direction, strict=True)]


def sign(value: float) -> float:
    return float((value > 0) - (value < 0))


def alie(honest: Rows, hostile: int, z: float | None = None) -> Row:
    n = len(honest) + hostile
    if z is None:
        supporters = math.floor(n / 2 + 1) - hostile
        z = float(ndtri((n - hostile - supporters) / (n - hostile)))
    return step(mean_row(honest), z, std_row(honest))


def ipm(honest: Rows, epsilon: float) -> Row:
    return [-epsilon * value for value in mean_row(honest)]


def away(honest: Rows, deviation: str) -> Row:
    mean = mean_row(honest)
    if deviation == "std":
        return [-value for value in std_row(honest)]
    if deviation == "sign":
        return [-sign(value) for value in mean]
    length = math.hypot(*mean)
    return [-value / length for value in mean]


def bisect(feasible: Callable[[float], bool]) -> float:
    """Return the last feasible γ of a bisection, from the feasible side."""
    low, high = 0.0, 1.0
    while feasible(high):
        low, high = high, 2.0 * high
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if feasible(middle) else (low, middle)
    return low


def min_max(honest: Rows, deviation: str) -> Row:
    mean, direction = mean_row(honest), away(honest, deviation)
    limit = max(distance(x, y) for x in honest for y in honest)

    def feasible(gamma: float) -> bool:
        row = step(mean, gamma, direction)
        return max(distance(row, x) for x in honest) <= limit

    return step(mean, bisect(feasible), direction)


def min_sum(honest: Rows, deviation: str) -> Row:
    mean, direction = mean_row(honest), away(honest, deviation)
    limit = max(sum(distance(x, y) ** 2 for y in honest) for x in honest)

    def feasible(gamma: float) -> bool:
        row = step(mean, gamma, direction)
        return sum(distance(row, x) ** 2 for x in honest) <= limit

    return step(mean, bisect(feasible), direction)


def mimic(history: list[Rows]) -> list[list[float]]:
    """Return each client's |Σ ⟨z, x⟩| after each round of warm-up, from d × d matrices."""
    scores: list[list[float]] = []
    center = mean_row(history[0])
    direction: Row = []
    sums = [0.0] * len(history[0])
    for rounds, rows in enumerate(history):
        mean = mean_row(rows)
        center = [(rounds * c + m) / (rounds + 1) for c, m in zip(center, mean, strict=True)]
        apart = [step(x, -1.0, center) for x in rows]
        d = range(len(center))
        matrix = [[sum(a[i] * a[j] for a in apart) for j in d] for i in d]
        if rounds == 0:
            direction = np.linalg.eigh(np.array(matrix))[1][:, -1].tolist()
        else:
            pull = [sum(matrix[i][j] * direction[j] for j in d) for i in d]
            length = math.hypot(*pull)
            moved = [rounds * z + p / length for z, p in zip(direction, pull, strict=True)]
            length = math.hypot(*moved)
            direction = [value / length for value in moved]
        for i, x in enumerate(rows):
            sums[i] += sum(a * z for a, z in zip(x, direction, strict=True))
        scores.append([abs(value) for value in sums])
    return scores


def fang_krum(benign: Rows, forged: int, byzantine: int) -> tuple[Row, bool]:
    """Return the row and whether Krum picks it, by running Krum over all rows at each probe."""
    d, h, n = len(benign[0]), len(benign), len(benign) + forged
    signs = [sign(value) for value in mean_row(benign)]
    nearest = [sorted(distance(x, y) for y in benign)[1 : h - 1] for x in benign]
    share = min(map(sum, nearest)) / (max(n - 2 * forged - 1, 1) * math.sqrt(d))
    length = start = share + max(math.hypot(*x) for x in benign) / math.sqrt(d)
    while length > 1e-5 * start:
        row = [-length * s for s in signs]
        if krum([*benign, *[row] * forged], byzantine=byzantine) == row:
            return row, True
        length /= 2.0
    return [-length * s for s in signs], False


def fang_trimmed_mean(honest: Rows, stretch: float) -> list[tuple[float, float]]:
    """Return the interval of each coordinate, low end first."""
    ends = []
    for column in zip(*honest, strict=True):
        low, high = min(column), max(column)
        if fmean(column) > 0:
            ends.append((low / stretch, low) if low > 0 else (stretch * low, low))
        else:
            ends.append((high, stretch * high) if high > 0 else (high, high / stretch))
    return ends


def damage(
    defense: Callable[[np.ndarray], np.ndarray],
    honest: Rows,
    hostile: int,
    direction: Row,
    tau: float,
) -> float:
    """Return how far the defense's answer to whole rows lies from the honest mean."""
    mean = mean_row(honest)
    rows = [*honest, *[step(mean, tau, direction)] * hostile]
    return distance(defense(np.array(rows)).tolist(), mean)
