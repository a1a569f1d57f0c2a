"""What one pass over rows finds, one element at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.naive.kernels import Rows

_MASK = (1 << 64) - 1


def splitmix64(counter: int) -> int:
    """Return the 64 bits that SplitMix64 makes of its state after ``counter`` + 1 steps from 0."""
    z = (counter + 1) * 0x9E3779B97F4A7C15 & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def sketch(row: list[float], tensors: list[range]) -> list[float]:
    """Add every element, with its sign, to one of 256 sums."""
    sums = [0.0] * 256
    for tensor in tensors:
        for j in tensor:
            begin = tensor.start + (j - tensor.start) // 16384 * 16384
            place = (j - begin + splitmix64((1 << 63) + begin)) % 256
            positive = splitmix64(j // 64) >> (j % 64) & 1
            sums[place] += row[j] if positive else -row[j]
    return sums


def products(rows: Rows, center: list[float]) -> list[float]:
    """Return ⟨x_i, m⟩ of every row."""
    return [sum(x * m for x, m in zip(row, center, strict=True)) for row in rows]


def apart(rows: Rows, center: list[float], tensors: list[range]) -> Rows:
    """Return ‖x_i − m‖² of every row, tensor by tensor."""
    return [[sum((row[j] - center[j]) ** 2 for j in tensor) for tensor in tensors] for row in rows]


def signs(rows: Rows) -> list[list[int]]:
    """Count the positive and the negative elements of every row."""
    return [[sum(x > 0 for x in row), sum(x < 0 for x in row)] for row in rows]
