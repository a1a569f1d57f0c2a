"""The machine code of the coordinate-wise rules: sort each column of n rows, then average.

The columns go through in tiles that stay in the cache: copied row by row, then sorted 32 bytes
of each row at a time, while the next tile is fetched. Up to 128 rows are sorted by one network
without loops, whose values live in registers as far as they fit; of more rows, runs of 64 are,
and tables of comparators merge the runs. A comparator is one minimum and one maximum over a
vector of neighboring columns: no branch depends on the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.ir import Code
from quickthorn.strategies.kernels.network import selection
from quickthorn.strategies.kernels.passes import merge_passes
from quickthorn.strategies.kernels.rows import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quickthorn.strategies.kernels.network import Network
    from quickthorn.strategies.kernels.passes import Pass

VECTOR = 32  # bytes
_LINE = 64  # bytes that memory hands over at once
_STRAIGHT = 128  # more rows than this would make code that leaves the instruction cache
_RUN = 64
# What leaves the registers lies on a stack that is aligned for it.
_ARGUMENTS = (
    "ptr noalias %rows, i64 %start, i64 %stop, ptr noalias %out, ptr noalias %tile,"
    " ptr noalias %table"
)


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

    """

    n: int
    low: int
    high: int
    itemsize: int
    nearest: int | None = None

    @property
    def lanes(self) -> int:
        """Return how many columns share a vector."""
        return VECTOR // self.itemsize

    @property
    def wide(self) -> bool:
        """Return whether the values are float64."""
        return self.itemsize == np.dtype(np.float64).itemsize

    @property
    def straight(self) -> bool:
        """Return whether one network without loops sorts all rows."""
        return self.n <= _STRAIGHT

    @property
    def padded(self) -> int:
        """Return how many rows a tile has, those that hold +∞ included."""
        return self.n if self.straight else -(-self.n // _RUN) * _RUN + 1

    @property
    def width(self) -> int:
        """Return the columns of a tile."""
        longest = (48, 512), (_STRAIGHT, 1024), (2048, 256)
        size = next((size for rows, size in longest if self.n <= rows), 128)
        return size // 2 // self.itemsize

    @property
    def passes(self) -> list[Pass]:
        """Return how the sorted runs are merged."""
        return [] if self.straight else merge_passes(self.n, _RUN, self.low, self.high)

    @property
    def table(self) -> NDArray[np.int32]:
        """Return the rows of the passes, as the kernel reads them: offsets in bytes."""
        parts = [np.concatenate([p.rows, p.places], axis=1).ravel() for p in self.passes]
        return (np.concatenate([*parts, np.zeros(1, np.int64)]) * VECTOR).astype(np.int32)

    @property
    def text(self) -> str:
        """Return the kernel in LLVM's intermediate language.

        ``kernel(rows, start, stop, out, tile, table)``: pointers to the rows (padded of them,
        those from n on may repeat one), whole tiles of columns, where the means go, room for
        a tile of +∞ aligned to VECTOR, the table.
        """
        writer = _Writer(self)
        writer.tiles()
        return "\n".join(
            [
                "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
                f'define void @kernel({_ARGUMENTS}) "stackrealign" {{',
                "entry:",
                *writer.code.lines,
                "ret void",
                "}",
            ]
        )


class _Writer:
    """Writes the loops of one kernel."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.code = Code()
        self.kind = "double" if columns.wide else "float"
        self.vector = f"<{columns.lanes} x {self.kind}>"
        self.sums = f"<{columns.lanes} x double>"
        self.counts = f"<{columns.lanes} x i32>"

    def tiles(self) -> None:
        """For each tile of columns: copy it, then do its vectors one by one."""
        columns = self.columns

        def tile(column: str, _: list[str]) -> list[str]:
            self.code.loop((0, columns.n, 1), partial(self._copy, column))
            self.code.loop((0, columns.width // columns.lanes, 1), partial(self._group, column))
            return []

        self.code.loop(("%start", "%stop", columns.width), tile)

    def _copy(self, column: str, row: str, _: list[str]) -> list[str]:
        code, columns = self.code, self.columns
        pointer = code.new(f"load ptr, ptr {code.at('ptr', '%rows', row)}")
        source = code.at(self.kind, pointer, column)
        for group in range(columns.width // columns.lanes):
            place = code.at(self.vector, source, group)
            value = code.new(f"load {self.vector}, ptr {place}, align {columns.itemsize}")
            there = code.new(f"add i64 {row}, {group * columns.padded}")
            self._store(value, "%tile", there)
        return []

    def _group(self, column: str, index: str, _: list[str]) -> list[str]:
        """Sort one vector of columns and store its means."""
        code, columns = self.code, self.columns
        base = code.at(self.vector, "%tile", code.new(f"mul i64 {index}, {columns.padded}"))
        ordered = []
        if columns.straight:
            network = selection(columns.n, columns.low, columns.high)
            steps = self._ahead(column, index, "0", columns.n)
            ordered = self._execute(network, base, steps)
        else:
            network = selection(_RUN, 0, _RUN)

            def run(start: str, _: list[str]) -> list[str]:
                here = code.at(self.vector, base, start)
                steps = self._ahead(column, index, start, _RUN)
                for place, value in enumerate(self._execute(network, here, steps)):
                    self._store(value, here, place)
                return []

            code.loop((0, columns.padded - 1, _RUN), run)
            self._merge(base)
        mean = self._mean(base, ordered)
        place = code.new(f"add i64 {column}, {code.new(f'mul i64 {index}, {columns.lanes}')}")
        where = code.at(self.kind, "%out", place)
        code.add(f"store {self.vector} {mean}, ptr {where}, align {columns.itemsize}")
        return []

    def _ahead(self, column: str, index: str, start: str, rows: int) -> list[Callable[[], None]]:
        """Return steps that each fetch a line of the next tile, where rows are left to fetch.

        Two vectors make a line: the first fetches it of one half of the rows, the second of
        the other half.
        """
        code, columns = self.code, self.columns
        half = (rows + 1) // 2
        odd = code.new(f"and i64 {index}, 1")
        first = code.new(f"add i64 {start}, {code.new(f'mul i64 {odd}, {rows - half}')}")
        line = code.new(f"mul i64 {code.new(f'lshr i64 {index}, 1')}, {_LINE}")
        begin = code.new(f"mul i64 {column}, {columns.itemsize}")
        # The last byte of a line's length: a tile that begins within a line ends within one.
        beyond = columns.width * columns.itemsize + _LINE - 1
        offset = code.new(f"add i64 {code.new(f'add i64 {begin}, {line}')}, {beyond}")

        def fetch(row: int) -> None:
            which = code.new(f"add i64 {first}, {row}")
            pointer = code.new(f"load ptr, ptr {code.at('ptr', '%rows', which)}")
            place = code.at("i8", pointer, offset)
            code.add(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

        return [partial(fetch, row) for row in range(half)]

    def _execute(self, network: Network, base: str, steps: list[Callable[[], None]]) -> list[str]:
        """Run a network on the rows from ``base`` on, the steps strewn between the comparators.

        Returns the wanted values in ascending order.
        """
        pairs = network.pairs
        values: dict[int, str] = {}

        def value(row: int) -> str:
            return values.get(row) or self._load(base, row)

        every = max(1, len(pairs) // len(steps))
        for turn, (low, high) in enumerate(pairs):
            if turn % every == 0 and turn // every < len(steps):
                steps[turn // every]()
            values[low], values[high] = self._compare(value(low), value(high))
        return [value(row) for row in network.outputs]

    def _merge(self, base: str) -> None:
        """Run the passes of the table."""
        offset = 0
        for each in self.columns.passes:
            step = partial(self._pass, base, offset, each.rows.shape[1])
            self.code.loop((0, len(each.rows), 1), step)
            offset += 2 * each.rows.size

    def _pass(self, base: str, offset: int, wires: int, index: str, _: list[str]) -> list[str]:
        """Run one entry of the table: 2 or 4 rows to read, as many to write."""
        code = self.code
        entry = code.new(f"add i64 {code.new(f'mul i64 {index}, {2 * wires}')}, {offset}")
        places = []
        for wire in range(2 * wires):
            where = code.at("i32", "%table", code.new(f"add i64 {entry}, {wire}"))
            bytes_off = code.new(f"zext i32 {code.new(f'load i32, ptr {where}')} to i64")
            places.append(code.at("i8", base, bytes_off))
        values = [self._load(place, 0) for place in places[:wires]]
        if wires == 4:  # noqa: PLR2004 - else 2: one comparator
            p, q, s, t = values
            (p, s), (q, t) = self._compare(p, s), self._compare(q, t)
            values = [*self._compare(p, q), *self._compare(s, t)]
        else:
            values = [*self._compare(*values)]
        for value, place in zip(values, places[wires:], strict=True):
            self._store(value, place, 0)
        return []

    def _mean(self, base: str, ordered: list[str]) -> str:
        """Return the mean of the wanted ranks, from registers or from the sorted tile."""
        columns = self.columns
        count = columns.high - columns.low
        if columns.nearest is not None:
            for place, value in enumerate(ordered):
                self._store(value, base, place)
            return self._nearest(base, columns.nearest)
        total = "zeroinitializer"
        for value in ordered:
            total = self._add(total, value)
        if not ordered:
            bounds = (columns.low, columns.high, 1)
            (total,) = self.code.loop(
                bounds,
                lambda row, sums: [self._add(sums[0], self._load(base, row))],
                [(self.sums, total)],
            )
        return self._divide(total, count)

    def _nearest(self, base: str, count: int) -> str:
        """Return the mean of the ``count`` values nearest to the median, the rows being sorted.

        Windows of ``count`` rows move on while a + b < 2m, for a that they drop, b that they
        take up and the median m: these sums only grow, so that their number is the start.
        """
        code, n = self.code, self.columns.n
        twice = self._add(self._widen(self._load(base, (n - 1) // 2)), self._load(base, n // 2))

        def move(start: str, counts: list[str]) -> list[str]:
            ahead = code.new(f"add i64 {start}, {count}")
            both = self._add(self._widen(self._load(base, start)), self._load(base, ahead))
            nearer = code.new(f"fcmp olt {self.sums} {both}, {twice}")
            one = code.new(f"zext <{self.columns.lanes} x i1> {nearer} to {self.counts}")
            return [code.new(f"add {self.counts} {counts[0]}, {one}")]

        starts = "zeroinitializer"
        if count < n:
            (starts,) = code.loop((0, n - count, 1), move, [(self.counts, starts)])
        many, one = self._constant("i32", count), self._constant("i32", 1)

        def pick(row: str, carried: list[str]) -> list[str]:
            total, place = carried
            past = code.new(f"sub {self.counts} {place}, {starts}")
            inside = code.new(f"icmp ult {self.counts} {past}, {many}")
            value = self._load(base, row)
            picked = self._select(inside, value, "zeroinitializer")
            return [self._add(total, picked), code.new(f"add {self.counts} {place}, {one}")]

        first = [(self.sums, "zeroinitializer"), (self.counts, "zeroinitializer")]
        total, _ = code.loop((0, n, 1), pick, first)
        mean = self._divide(total, count)
        return self._unless_huge(mean, base) if self.columns.wide else mean

    def _unless_huge(self, mean: str, base: str) -> str:
        """Return NaN where a sum may have overflowed, for the caller to see."""
        code, limit = self.code, LARGEST / (2 * self.columns.n)
        above = self._constant("double", limit)
        below = self._constant("double", -limit)
        last = self._load(base, self.columns.n - 1)
        high = code.new(f"fcmp olt {self.vector} {last}, {above}")
        low = code.new(f"fcmp ogt {self.vector} {self._load(base, 0)}, {below}")
        fine = code.new(f"and <{self.columns.lanes} x i1> {high}, {low}")
        return self._select(fine, mean, self._constant("double", float("nan")))

    # One instruction or two ------------------------------------------------------------------

    def _load(self, base: str, row: str | int) -> str:
        place = self.code.at(self.vector, base, row)
        return self.code.new(f"load {self.vector}, ptr {place}, align {VECTOR}")

    def _store(self, value: str, base: str, row: str | int) -> None:
        place = self.code.at(self.vector, base, row)
        self.code.add(f"store {self.vector} {value}, ptr {place}, align {VECTOR}")

    def _compare(self, left: str, right: str) -> tuple[str, str]:
        """Return the smaller and the larger; equal ones are exchanged, as the hardware does."""
        less = self.code.new(f"fcmp olt {self.vector} {left}, {right}")
        return self._select(less, left, right), self._select(less, right, left)

    def _select(self, mask: str, yes: str, no: str) -> str:
        lanes = self.columns.lanes
        return self.code.new(
            f"select <{lanes} x i1> {mask}, {self.vector} {yes}, {self.vector} {no}"
        )

    def _widen(self, value: str) -> str:
        if self.columns.wide:
            return value
        return self.code.new(f"fpext {self.vector} {value} to {self.sums}")

    def _add(self, total: str, value: str) -> str:
        return self.code.new(f"fadd {self.sums} {total}, {self._widen(value)}")

    def _divide(self, total: str, count: int) -> str:
        by = self._constant("double", float(count))
        mean = self.code.new(f"fdiv {self.sums} {total}, {by}")
        if self.columns.wide:
            return mean
        return self.code.new(f"fptrunc {self.sums} {mean} to {self.vector}")

    def _constant(self, kind: str, value: float) -> str:
        number = str(value)
        if kind == "double":  # by its bits: not every decimal is accepted
            number = f"0x{np.float64(value).view(np.uint64):016X}"
        return f"<{', '.join([f'{kind} {number}'] * self.columns.lanes)}>"
