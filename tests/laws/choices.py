"""Whether a choice among rows is clear of ties and of what rounding can turn, rule by rule.

Laws that rename clients or round differently hold only there: ties go by client id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.naive.subsets import (
    bulyan_scores,
    caf_step,
    diameters,
    in_units,
    slack_at,
    spreads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tests.naive.kernels import Rows

# Relative gap below which rounding may decide.
MARGIN = 1e-6


def bulyan(rows: Rows, byzantine: int) -> bool:
    """Every pick has to be clear, except where all rows are picked."""
    left = list(range(len(rows)))
    if not byzantine:
        return True
    for _ in range(len(rows) - 2 * byzantine):
        scores = bulyan_scores(rows, left, byzantine=byzantine)
        least = min(scores)
        best = [i for i, score in zip(left, scores, strict=True) if _near(score, least, scores)]
        if any(rows[i] != rows[best[0]] for i in best):
            return False
        left.remove(best[0])
    return True


def mda(rows: Rows, byzantine: int) -> bool:
    sets, scores = diameters(rows, byzantine=byzantine)
    return _one_best(in_units(rows), sets, scores)


def smea(rows: Rows, byzantine: int) -> bool:
    sets, scores = spreads(rows, byzantine=byzantine)
    return _one_best(in_units(rows), sets, scores)


def caf(rows: Rows, byzantine: int) -> bool:
    """The top direction, the smallest λ and the last step have to be clear."""
    values, weights = in_units(rows), np.ones(len(rows))
    met: list[float] = []
    while weights.sum() > len(rows) - 2 * byzantine + MARGIN:
        spread, tau = caf_step(values, weights)
        if len(spread) > 1 and spread[1] > 0.99 * spread[0] > 0:
            return False
        met.append(float(spread[0]))
        if spread[0] == 0.0:
            break
        left = 1.0 - tau / tau[weights > 0].max()
        if ((weights > 0) & (left > 1e-12) & (left < MARGIN)).any():
            return False
        weights = np.where((weights > 0) & (left > 1e-9), weights * left, 0.0)
        if abs(weights.sum() - (len(rows) - 2 * byzantine)) < MARGIN:
            return False
    return sum(value <= min(met) * (1 + MARGIN) for value in met) <= 1 if met else True


def geometric_median(rows: Rows, _byzantine: int) -> bool:
    """The minimizer is clearly a row, or clearly none, and the rows lie on no line."""
    values = in_units(rows)
    slacks = [slack_at(row, values) for row in np.unique(values, axis=0)]
    if max(slacks) > 0:
        return sum(abs(slack) < 1e-3 for slack in slacks) == 0
    spread = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    return max(slacks) < -1e-2 and len(spread) > 1 and bool(spread[1] > 0.05 * spread[0])


CHOICES: dict[str, Callable[[Rows, int], bool]] = {
    "bulyan": bulyan,
    "caf": caf,
    "geometric_median": geometric_median,
    "mda": mda,
    "smea": smea,
}


def _near(score: float, least: float, scores: Sequence[float]) -> bool:
    return (score - least) * 10**6 <= max(scores)


def _one_best(
    values: NDArray[np.float64], sets: list[tuple[int, ...]], scores: Sequence[float]
) -> bool:
    """Whether all the sets that rounding could make the best one have the same mean."""
    least = min(scores)
    means = [
        values[list(chosen)].mean(axis=0)
        for chosen, score in zip(sets, scores, strict=True)
        if _near(score, least, scores)
    ]
    return bool(np.ptp(means, axis=0).max() <= 1e-14)
