"""Centered clipping and DnC, word for word from their papers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.naive.aggregators import mean, median
from tests.naive.kernels import Rows, norms

if TYPE_CHECKING:
    from collections.abc import Mapping


def centered_clipping(
    rows: Rows,
    *,
    state: Mapping[str, Any] | None,
    radius: float | str = "median",
    iterations: int = 1,
) -> list[float]:
    """Add to the previous vector the mean of the differences to it, each cut to the radius."""
    v = [0.0] * len(rows[0]) if state is None else [float(x) for x in state["center"]]
    for _ in range(iterations):
        differences = [[x - y for x, y in zip(row, v, strict=True)] for row in rows]
        lengths = norms(differences)
        limit = median([[length] for length in lengths])[0] if isinstance(radius, str) else radius
        cut = [
            [x * (limit / length) for x in row] if length > limit else row
            for row, length in zip(differences, lengths, strict=True)
        ]
        v = [x + step for x, step in zip(v, mean(cut), strict=True)]
    return v


def dnc(
    rows: Rows,
    *,
    byzantine: int,
    rng: np.random.Generator,
    iterations: int = 1,
    dimensions: int = 10_000,
    multiple: float = 1.0,
) -> list[float]:
    """Drop c·f rows per iteration by their projections, average who was dropped the least."""
    dropped = [0] * len(rows)
    for _ in range(iterations):
        chosen = list(range(len(rows[0])))
        if dimensions < len(chosen):
            chosen = sorted(rng.choice(len(chosen), dimensions, replace=False))
        scores = projections([[row[k] for k in chosen] for row in rows])
        worst = sorted(range(len(rows)), key=lambda i: (-scores[i], -i))
        for i in worst[: round(multiple * byzantine)]:
            dropped[i] += 1
    return mean([row for row, times in zip(rows, dropped, strict=True) if times == min(dropped)])


def projections(rows: Rows) -> list[float]:
    """Return ⟨x_i − μ, v⟩², v from a singular value decomposition of the rows themselves."""
    largest = max(abs(x) for row in rows for x in row) or 1.0
    scaled = np.array(rows) / largest
    centered = scaled - scaled.mean(axis=0)
    top = np.linalg.svd(centered, full_matrices=False)[2][0]
    return [float((row @ top) ** 2) for row in centered]


def has_clear_cut(rows: Rows, dropped: int) -> bool:
    """Whether ``projections`` name the same ``dropped`` rows after any rounding.

    The largest singular value then stands apart from the second one, and the smallest dropped
    projection from the largest one kept.
    """
    if dropped == 0:
        return True
    largest = max(abs(x) for row in rows for x in row) or 1.0
    scaled = np.array(rows) / largest
    values = [*np.linalg.svd(scaled - scaled.mean(axis=0), compute_uv=False), 0.0]
    if values[0] < 1e-3 or values[1] > 0.9 * values[0]:
        return False
    scores = sorted(projections(rows), reverse=True)
    return scores[dropped - 1] - scores[dropped] > 0.01 * scores[0]
