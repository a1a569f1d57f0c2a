"""Vectors of neighboring columns: what one or two instructions do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.ir import Code

VECTOR = 32  # bytes


class Lanes:
    """Writes instructions on vectors of VECTOR bytes.

    Attributes
    ----------
    width
        How many columns share a vector.
    wide
        Whether the values are float64, and not float32.
    kind, vector, sums, counts
        The types of a value, of a vector, and of as many float64 sums and int32 counts.

    """

    def __init__(self, code: Code, itemsize: int) -> None:
        self.code = code
        self.width = VECTOR // itemsize
        self.wide = itemsize == np.dtype(np.float64).itemsize
        self.kind = "double" if self.wide else "float"
        self.vector = f"<{self.width} x {self.kind}>"
        self.sums = f"<{self.width} x double>"
        self.counts = f"<{self.width} x i32>"

    def load(self, base: str, row: str | int) -> str:
        """Return the vector of row ``row``, ``base`` being aligned to VECTOR."""
        place = self.code.at(self.vector, base, row)
        return self.code.new(f"load {self.vector}, ptr {place}, align {VECTOR}")

    def store(self, base: str, row: str | int, value: str) -> None:
        """Put a vector into row ``row``."""
        place = self.code.at(self.vector, base, row)
        self.code.add(f"store {self.vector} {value}, ptr {place}, align {VECTOR}")

    def compare(self, left: str, right: str) -> tuple[str, str]:
        """Return the smaller and the larger; equal ones are exchanged, as the hardware does."""
        less = self.code.new(f"fcmp olt {self.vector} {left}, {right}")
        return self.select(less, left, right), self.select(less, right, left)

    def select(self, mask: str, yes: str, no: str) -> str:
        """Return ``yes`` where the mask holds, else ``no``."""
        lanes = self.width
        return self.code.new(
            f"select <{lanes} x i1> {mask}, {self.vector} {yes}, {self.vector} {no}"
        )

    def widen(self, value: str) -> str:
        """Return a vector in float64."""
        if self.wide:
            return value
        return self.code.new(f"fpext {self.vector} {value} to {self.sums}")

    def add(self, total: str, value: str) -> str:
        """Return a float64 sum with one more vector."""
        return self.code.new(f"fadd {self.sums} {total}, {self.widen(value)}")

    def divide(self, total: str, count: int) -> str:
        """Return a float64 sum divided by ``count``, rounded to the kind of the values."""
        by = self.constant("double", float(count))
        mean = self.code.new(f"fdiv {self.sums} {total}, {by}")
        if self.wide:
            return mean
        return self.code.new(f"fptrunc {self.sums} {mean} to {self.vector}")

    def constant(self, kind: str, value: float) -> str:
        """Return a vector of one number."""
        number = str(value)
        if kind == "double":  # by its bits: not every decimal is accepted
            number = f"0x{np.float64(value).view(np.uint64):016X}"
        return f"<{', '.join([f'{kind} {number}'] * self.width)}>"
