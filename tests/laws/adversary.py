"""The search for f rows that carry a rule as far from the honest mean as they can.

``worst_ratio`` returns max ‖A − mean(S)‖² / (1/|S| Σ_{i∈S} ‖x_i − mean(S)‖²), over the attacks
tried and, where there are few, over every S of n − f rows: the law holds for each of them,
whoever the liars really are.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, islice
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Rule = Callable[[NDArray[np.float64], int], NDArray[np.float64]]

# Sizes of an attack in standard deviations of the honest rows: hidden, plain, absurd.
SIZES = (0.3, 1.0, 1.5, 3.0, 1e6)


def honest_cohorts(n: int, f: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield honest rows (n − f, d) of the shapes that are hard: skewed, clustered, unequal."""
    rng = np.random.default_rng(seed)
    h = n - f
    yield rng.normal(size=(h, 3)) + 1.0
    yield rng.normal(size=(h, 12)) * np.logspace(0, -2, 12)
    yield np.repeat([[0.0], [1.0]], [h - min(f, h - 1), min(f, h - 1)], axis=0)
    yield np.arange(h, dtype=np.float64)[:, None] ** 2
    yield rng.standard_t(2, size=(h, 2))


def attacks(honest: NDArray[np.float64], f: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield f rows each, of every strategy."""
    rng = np.random.default_rng(seed)
    center, spread = honest.mean(axis=0), honest.std(axis=0)
    radius = float(np.linalg.norm(spread)) or 1.0
    top = np.linalg.svd(honest - center, full_matrices=False)[2][0]
    for row in honest:  # mimic one of them; all liars alike, or spread over several
        yield np.tile(row, (f, 1))
    yield honest[rng.integers(0, len(honest), f)]
    yield np.tile(honest.max(axis=0), (f, 1))
    yield np.tile(honest.min(axis=0), (f, 1))
    directions = {
        "sign flip and inner product": -center / (np.linalg.norm(center) or 1.0) * radius,
        "a little is enough": -spread,
        "principal axis": top * radius,
        "one coordinate": np.eye(1, len(center))[0] * radius,
        "random": rng.normal(size=len(center)) * radius / len(center) ** 0.5,
    }
    for direction in directions.values():
        for size in SIZES:
            for sign in (1.0, -1.0):
                together = np.tile(center + sign * size * direction, (f, 1))
                yield together
                if f > 1:  # spread out; or half of them pull the other way
                    yield together * np.linspace(0.5, 1.5, f)[:, None]
                    yield together * np.where(np.arange(f) % 2, 1.0, -1.0)[:, None]


def worst_ratio(rule: Rule, n: int, f: int, *, seed: int = 0, climb: int = 30) -> float:
    """Return the largest ratio that the search reaches."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for honest in honest_cohorts(n, f, seed):
        best, liars = 0.0, honest[:f]
        for attack in attacks(honest, f, seed) if f else [honest[:0]]:
            ratio = _ratio(rule, honest, attack, rng)
            if ratio > best:
                best, liars = ratio, attack
        for _ in range(climb if f else 0):  # climb from the best one
            step = rng.normal(size=liars.shape) * rng.choice([0.01, 0.1, 1.0]) * honest.std()
            ratio = _ratio(rule, honest, liars + step, rng)
            if ratio > best:
                best, liars = ratio, liars + step
        worst = max(worst, best)
    return worst


def _ratio(
    rule: Rule, honest: NDArray[np.float64], liars: NDArray[np.float64], rng: np.random.Generator
) -> float:
    """Return the largest ratio of one matrix, the liars at random places among the ids."""
    n, h = len(honest) + len(liars), len(honest)
    order = rng.permutation(n)
    values = np.concatenate([honest, liars])[order]
    result = rule(values, n - h)
    chosen = np.concatenate([[np.flatnonzero(order < h)], _subsets(n, h)])
    return float(_excess(result, values[chosen]).max())


@cache
def _subsets(n: int, h: int) -> NDArray[np.intp]:
    """Return up to 20 other sets S that the law speaks of, (k, h)."""
    return np.array(list(islice(combinations(range(n), h), 20)))


def _excess(result: NDArray[np.float64], sets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ‖A − mean(S)‖² / variance for sets (k, h, d), forgiving what float64 rounds off."""
    center = sets.mean(axis=1)
    error = ((result - center) ** 2).sum(axis=1)
    variance = ((sets - center[:, None]) ** 2).sum(axis=2).mean(axis=1)
    rounding = (1e-7 * np.abs(sets).max(axis=(1, 2))) ** 2
    bounded = np.divide(error, variance, out=np.full(len(error), np.inf), where=variance > rounding)
    return np.where(error <= rounding, 0.0, bounded)
