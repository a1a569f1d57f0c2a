"""What a coordinate-wise kernel does to the columns of n rows, and in which tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.lanes import VECTOR
from quickthorn.strategies.kernels.passes import merge_passes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.passes import Pass

STRAIGHT = 128  # more rows than this would make code that leaves the instruction cache
RUN = 64  # of more rows, so many are sorted at a time


@dataclass(frozen=True)
class Columns:
    """What a kernel does: average some ranks of each column.

    Attributes
    ----------
    n
        How many rows.
    low, high
        The ranks that count, from 0: low to high − 1.
    itemsize
        4 for float32, 8 for float64.
    nearest
        How many of these values to average, the nearest to the median of all; None: all.
    votes
        Instead of any order: negate the mean of all where |Σ sign| is below this; None: do not.

    """

    n: int
    low: int
    high: int
    itemsize: int
    nearest: int | None = None
    votes: int | None = None

    @property
    def straight(self) -> bool:
        """Return whether nothing is to be merged: one network without loops sorts all rows."""
        return self.n <= STRAIGHT or self.votes is not None

    @property
    def padded(self) -> int:
        """Return how many rows a tile has, those that hold +∞ included."""
        return self.n if self.straight else -(-self.n // RUN) * RUN + 1

    @property
    def width(self) -> int:
        """Return the columns of a tile."""
        longest = (48, 512), (STRAIGHT, 1024), (2048, 256)
        size = next((size for rows, size in longest if self.n <= rows), 128)
        return size // 2 // self.itemsize

    @property
    def vectors(self) -> int:
        """Return how many vectors a row of a tile has."""
        return self.width * self.itemsize // VECTOR

    @property
    def passes(self) -> list[Pass]:
        """Return how the sorted runs are merged."""
        return [] if self.straight else merge_passes(self.n, RUN, self.low, self.high)

    @property
    def table(self) -> NDArray[np.int32]:
        """Return the rows of the passes, as the kernel reads them: offsets in bytes."""
        parts = [np.concatenate([p.rows, p.places], axis=1).ravel() for p in self.passes]
        return (np.concatenate([*parts, np.zeros(1, np.int64)]) * VECTOR).astype(np.int32)
