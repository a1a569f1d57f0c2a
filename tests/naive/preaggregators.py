"""The pre-aggregators, word for word from their papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.aggregators import mean
from tests.naive.kernels import Rows, norms, squared_distance

if TYPE_CHECKING:
    import numpy as np


def clip(rows: Rows, *, radius: float | str = "median") -> Rows:
    """Shorten every row that is longer than the radius to the radius."""
    lengths = norms(rows)
    limit = _median(lengths) if isinstance(radius, str) else radius
    clipped = []
    for row, length in zip(rows, lengths, strict=True):
        clipped.append([x * (limit / length) for x in row] if length > limit else list(row))
    return clipped


def arc(rows: Rows, *, byzantine: int) -> Rows:
    """Shorten the ⌊2 (f/n)(n − f)⌋ longest rows to the length of the next one."""
    shortened = (2 * byzantine * (len(rows) - byzantine)) // len(rows)
    lengths = sorted(norms(rows), reverse=True)
    return clip(rows, radius=lengths[shortened])


def bucketing(rows: Rows, *, rng: np.random.Generator, size: int = 2) -> Rows:
    """Draw an order, cut it into runs of ``size``, average each run."""
    waiting = [rows[i] for i in rng.permutation(len(rows))]
    buckets = []
    while waiting:
        buckets.append(mean(waiting[:size]))
        waiting = waiting[size:]
    return buckets


def nnm(rows: Rows, *, byzantine: int) -> Rows:
    """Replace every row by the mean of the n − f rows nearest to it, itself first."""
    mixed = []
    for i, row in enumerate(rows):
        order = sorted(range(len(rows)), key=lambda j: (j != i, squared_distance(row, rows[j]), j))
        mixed.append(mean([rows[j] for j in order[: len(rows) - byzantine]]))
    return mixed


def _median(numbers: list[float]) -> float:
    ordered = sorted(numbers)
    half = len(ordered) // 2
    return (ordered[half] + ordered[-half - 1]) / 2
