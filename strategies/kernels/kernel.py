"""The machine code of the coordinate-wise rules: the tiles of columns that it goes through.

Tiles stay in the cache: copied row by row, then sorted 32 bytes of each row at a time, while
the next tile is fetched. ``vector`` does the sorting.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from quickthorn.strategies.kernels.ir import Code
from quickthorn.strategies.kernels.lanes import Lanes
from quickthorn.strategies.kernels.vector import Vector

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.columns import Columns

_LINE = 64  # bytes that memory hands over at once


def text(columns: Columns) -> str:
    """Return the kernel in LLVM's intermediate language.

    ``kernel(rows, start, stop, out, tile, table)``: pointers to the rows (``padded`` of them,
    those from n on may repeat one), whole tiles of columns, where the means go, room for a
    tile of +∞ aligned to VECTOR, the table.
    """
    tiles, vector = _Tiles(columns), Vector(columns)
    tiles.write()
    vector.write()
    arguments = "ptr %rows, i64 %start, i64 %stop, ptr %out, ptr %tile, ptr %table"
    inner = "ptr %rows, ptr %base, i64 %odd, i64 %ahead, ptr %where, ptr %table"
    return "\n".join(
        [
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
            *_function("kernel", arguments, tiles.code),
            # A function of its own: within the loops of the other one, LLVM keeps far fewer
            # values in registers.
            *_function("vector", inner, vector.code),
        ]
    )


def _function(name: str, arguments: str, code: Code) -> list[str]:
    """Return a function; what leaves its registers lies on a stack that is aligned for it."""
    head = f'define void @{name}({arguments.replace("ptr", "ptr noalias")}) "stackrealign" {{'
    return [head, "entry:", *code.lines, "ret void", "}"]


class _Tiles:
    """Writes the loops over tiles, and over the vectors of each."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.code = Code()
        self.lanes = Lanes(self.code, columns.itemsize)

    def write(self) -> None:
        """For each tile of columns: copy it, then do its vectors one by one."""
        columns = self.columns

        def tile(column: str, _: list[str]) -> list[str]:
            self.code.loop((0, columns.n, 1), partial(self._copy, column))
            self.code.loop((0, columns.vectors, 1), partial(self._group, column))
            return []

        self.code.loop(("%start", "%stop", columns.width), tile)

    def _copy(self, column: str, row: str, _: list[str]) -> list[str]:
        code, columns = self.code, self.columns
        pointer = code.new(f"load ptr, ptr {code.at('ptr', '%rows', row)}")
        source = code.at(self.lanes.kind, pointer, column)
        for group in range(columns.vectors):
            place = code.at(self.lanes.vector, source, group)
            value = code.new(f"load {self.lanes.vector}, ptr {place}, align {columns.itemsize}")
            there = code.new(f"add i64 {row}, {group * columns.padded}")
            self.lanes.store("%tile", there, value)
        return []

    def _group(self, column: str, index: str, _: list[str]) -> list[str]:
        """Call ``vector`` for one vector of columns.

        Two vectors make a line of memory: one of them fetches that line of the next tile for
        one half of the rows, the other for the other half.
        """
        code, columns = self.code, self.columns
        base = code.at(self.lanes.vector, "%tile", code.new(f"mul i64 {index}, {columns.padded}"))
        odd = code.new(f"and i64 {index}, 1")
        line = code.new(f"mul i64 {code.new(f'lshr i64 {index}, 1')}, {_LINE}")
        begin = code.new(f"mul i64 {column}, {columns.itemsize}")
        # The last byte of a line's length: a tile that begins within a line ends within one.
        beyond = columns.width * columns.itemsize + _LINE - 1
        ahead = code.new(f"add i64 {code.new(f'add i64 {begin}, {line}')}, {beyond}")
        place = code.new(f"add i64 {column}, {code.new(f'mul i64 {index}, {self.lanes.width}')}")
        where = code.at(self.lanes.kind, "%out", place)
        code.add(
            f"call void @vector(ptr %rows, ptr {base}, i64 {odd}, i64 {ahead}, ptr {where},"
            " ptr %table)"
        )
        return []
