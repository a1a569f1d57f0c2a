"""The aggregators, word for word from their papers."""

from __future__ import annotations

from math import isfinite

from tests.naive.kernels import Rows, average, columns, squared_distance


def mean(rows: Rows) -> list[float]:
    """Average each coordinate."""
    return [average(column) for column in columns(rows)]


def weighted_mean(rows: Rows, *, weights: list[float], cap: float = 3.0) -> list[float]:
    """Average with weights min(claim, cap · median claim); an absurd claim counts as the median."""
    valid = [claim for claim in weights if isfinite(claim) and claim > 0]
    typical = _middle(valid) if valid else 1.0
    cleaned = [claim if isfinite(claim) and claim > 0 else typical for claim in weights]
    shares = [min(claim, cap * typical) for claim in cleaned]
    result = []
    for column in columns(rows):
        total = 0.0
        for share, value in zip(shares, column, strict=True):
            total += share / sum(shares) * value
        result.append(total)
    return result


def median(rows: Rows) -> list[float]:
    """Take the middle of each sorted coordinate, the mean of the two middles for even n."""
    return [_middle(column) for column in columns(rows)]


def trimmed_mean(rows: Rows, *, byzantine: int) -> list[float]:
    """Average each coordinate without its f lowest and f highest values."""
    result = []
    for column in columns(rows):
        ordered = sorted(column)
        for _ in range(byzantine):
            ordered.remove(min(ordered))
            ordered.remove(max(ordered))
        result.append(average(ordered))
    return result


def krum_scores(rows: Rows, *, byzantine: int, power: int = 2) -> list[int]:
    """Sum for each row the distances to this power to its n − f − 2 nearest others."""
    scores = []
    for i, row in enumerate(rows):
        others = [
            squared_distance(row, other) ** (power // 2) for j, other in enumerate(rows) if j != i
        ]
        scores.append(sum(sorted(others)[: len(rows) - byzantine - 2]))
    return scores


def krum(rows: Rows, *, byzantine: int, power: int = 2) -> list[float]:
    """Return the row of the smallest score, the first one among equals."""
    scores = krum_scores(rows, byzantine=byzantine, power=power)
    return rows[scores.index(min(scores))]


def multi_krum(rows: Rows, *, byzantine: int, select: int | None = None) -> list[float]:
    """Average the ``select`` rows of the smallest scores (n − f − 2 of them by default)."""
    count = len(rows) - byzantine - 2 if select is None else select
    scores = krum_scores(rows, byzantine=byzantine)
    best = sorted(range(len(rows)), key=lambda i: (scores[i], i))[:count]
    return mean([rows[i] for i in best])


def _middle(numbers: list[float]) -> float:
    ordered = sorted(numbers)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return ordered[half - 1] / 2 + ordered[half] / 2
