"""Rules that choose, filter or weigh rows, word for word: every subset, every step."""

from __future__ import annotations

from itertools import combinations
from math import dist, fsum

import numpy as np

from tests.naive.aggregators import mean
from tests.naive.kernels import Rows, average, columns, exact, squared_distance, squared_distances


def mean_around_median(rows: Rows, *, byzantine: int) -> list[float]:
    """Average in each coordinate the n − f values nearest to the median, smaller ones first."""
    return nearest_mean(rows, len(rows) - byzantine)


def nearest_mean(rows: Rows, count: int) -> list[float]:
    """Average in each coordinate the ``count`` values nearest to its median."""
    result = []
    for column in columns(rows):
        values = sorted(column)
        twice = exact(values[(len(values) - 1) // 2]) + exact(values[len(values) // 2])
        near = sorted(values, key=lambda x: (abs(2 * exact(x) - twice), x))
        result.append(average(near[:count]))
    return result


def bulyan(rows: Rows, *, byzantine: int) -> list[float]:
    """Krum n − 2f times, each time over the rows left, then average around the median."""
    picks = bulyan_picks(rows, byzantine=byzantine)
    return nearest_mean([rows[i] for i in picks], len(picks) - 2 * byzantine)


def bulyan_picks(rows: Rows, *, byzantine: int) -> list[int]:
    """Pick the row of the best score, the first among equals, take it out, begin again."""
    left, picks = list(range(len(rows))), []
    for _ in range(len(rows) - 2 * byzantine):
        scores = bulyan_scores(rows, left, byzantine=byzantine)
        picks.append(left.pop(scores.index(min(scores))))
    return picks


def bulyan_scores(rows: Rows, left: list[int], *, byzantine: int) -> list[int]:
    """Krum's scores of the rows that are left; at least one neighbor counts."""
    neighbors = max(len(left) - byzantine - 2, 1)
    scores = []
    for i in left:
        others = [squared_distance(rows[i], rows[j]) for j in left if j != i]
        scores.append(sum(sorted(others)[:neighbors]))
    return scores


def mda(rows: Rows, *, byzantine: int) -> list[float]:
    """Look at every subset of n − f rows and average the one of the smallest diameter."""
    sets, scores = diameters(rows, byzantine=byzantine)
    return mean([rows[i] for i in sets[scores.index(min(scores))]])


def diameters(rows: Rows, *, byzantine: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return every subset of n − f rows and its squared diameter."""
    distances = squared_distances(rows)
    sets = list(combinations(range(len(rows)), len(rows) - byzantine))
    return sets, [max(distances[i][j] for i in chosen for j in chosen) for chosen in sets]


def smea(rows: Rows, *, byzantine: int) -> list[float]:
    """Look at every subset of n − f rows and average the one of the smallest λ_max."""
    sets, scores = spreads(rows, byzantine=byzantine)
    least = min(scores) * (1 + 1e-9)
    return mean([rows[i] for i in sets[next(k for k, s in enumerate(scores) if s <= least)]])


def spreads(rows: Rows, *, byzantine: int) -> tuple[list[tuple[int, ...]], list[float]]:
    """Return every subset and λ_max of its covariance, from the singular values of the rows."""
    values = in_units(rows)
    sets = list(combinations(range(len(rows)), len(rows) - byzantine))
    scores = []
    for chosen in sets:
        part = values[list(chosen)]
        largest = float(np.linalg.norm(part - part.mean(axis=0), 2)) ** 2
        scores.append(largest if largest > 1e-26 * len(rows) else 0.0)
    return sets, scores


def caf(rows: Rows, *, byzantine: int) -> list[float]:
    """Filter along the top direction step by step; return the mean of the least variance."""
    values, weights = in_units(rows), np.ones(len(rows))
    best, least = weights, np.inf
    while weights.sum() > len(rows) - 2 * byzantine:
        spread, tau = caf_step(values, weights)[:2]
        if spread[0] < least:
            best, least = weights, spread[0]
        if spread[0] == 0.0:
            break
        left = 1.0 - tau / tau[weights > 0].max()
        weights = np.where((weights > 0) & (left > 1e-9), weights * left, 0.0)
    shares = (best / best.sum()).tolist()
    return [fsum(s * x for s, x in zip(shares, column, strict=True)) for column in columns(rows)]


def caf_step(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of the weighted covariance, largest first, and every τ_i."""
    center = weights @ values / weights.sum()
    root = np.sqrt(weights / weights.sum())[:, None]
    spread, directions = np.linalg.svd(root * (values - center), full_matrices=False)[1:]
    spread = np.where(spread > 1e-13, spread, 0.0) ** 2
    return spread, ((values - center) @ directions[0]) ** 2


def geometric_median(rows: Rows, *, tolerance: float = 1e-10) -> list[float]:
    """Weiszfeld's iteration, thousands of times; a row that holds against the pull is it."""
    values = in_units(rows)
    held = [row for row in np.unique(values, axis=0) if slack_at(row, values) >= -tolerance]
    size = max(abs(x) for row in rows for x in row) or 1.0
    if held:
        return [float(x) * size for x in np.mean(held, axis=0)]
    point = values.mean(axis=0)
    for _ in range(5000):
        weights = [1.0 / max(dist(row, point), 1e-12) for row in values]
        moved = np.average(values, axis=0, weights=weights)
        if np.abs(moved - point).max() < 1e-16:
            break
        point = moved
    del tolerance
    return [float(x) * size for x in point]


def slack_at(row: np.ndarray, values: np.ndarray) -> float:
    """Return by how much the copies of a row outweigh the pull of the others."""
    lengths = np.linalg.norm(values - row, axis=1)
    others = lengths > 1e-7
    pull = ((values - row)[others] / lengths[others, None]).sum(axis=0)
    return float((~others).sum() - np.linalg.norm(pull)) / len(values)


def in_units(rows: Rows) -> np.ndarray:
    """Return the rows in units of the largest element, so that no square leaves float64."""
    values = np.array(rows)
    return values / (np.abs(values).max() or 1.0)
