"""Rules that count signs, word for word from their papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.naive.kernels import Rows, average, columns

if TYPE_CHECKING:
    from collections.abc import Iterable


def rlr(rows: Rows, *, byzantine: int, threshold: int | None = None) -> list[float]:
    """Average each coordinate; turn the mean round where fewer than θ signs are left over."""
    least = byzantine + 1 if threshold is None else threshold
    return [
        average(column) if abs(sum(signs(column))) >= least else -average(column)
        for column in columns(rows)
    ]


def signs(numbers: Iterable[float]) -> list[int]:
    """Return −1, 0 or 1 for each number."""
    return [(x > 0) - (x < 0) for x in numbers]
