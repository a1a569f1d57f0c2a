"""The machine code that sorts one vector of columns and averages the wanted ranks.

Up to 128 rows are sorted by one network without loops, whose values live in registers as far
as they fit; of more rows, runs of 64 are, and tables of comparators merge the runs. A
comparator is one minimum and one maximum over neighboring columns: no branch depends on the
data.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from quickthorn.strategies.kernels.columns import RUN
from quickthorn.strategies.kernels.ir import Code
from quickthorn.strategies.kernels.lanes import Lanes
from quickthorn.strategies.kernels.network import selection
from quickthorn.strategies.kernels.rows import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from quickthorn.strategies.kernels.columns import Columns
    from quickthorn.strategies.kernels.network import Network


class Vector:
    """Writes the function ``vector``."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.code = Code()
        self.lanes = Lanes(self.code, columns.itemsize)

    def write(self) -> None:
        """Sort one vector of columns, or count its votes, and store its means."""
        columns = self.columns
        if columns.votes is not None:
            mean = self._vote(columns.votes)
        elif columns.straight and not columns.nearest:
            mean = self._sum_straight()
        else:
            self._sort()
            mean = self._nearest(columns.nearest) if columns.nearest else self._sum_rows()
        self.code.add(f"store {self.lanes.vector} {mean}, ptr %where, align {columns.itemsize}")

    def _sum_straight(self) -> str:
        """Return the mean of the wanted ranks, summed while they come out of the network."""
        columns = self.columns
        total = "zeroinitializer"

        def add(_: int, value: str) -> None:
            nonlocal total
            total = self.lanes.add(total, value)

        network = selection(columns.n, columns.low, columns.high)
        self._execute(network, "%base", self._ahead("0", columns.n), add)
        return self.lanes.divide(total, columns.high - columns.low)

    def _sum_rows(self) -> str:
        """Return the mean of the wanted ranks, from the sorted rows."""
        low, high = self.columns.low, self.columns.high
        (total,) = self.code.loop(
            (low, high, 1),
            lambda row, sums: [self.lanes.add(sums[0], self.lanes.load("%base", row))],
            [(self.lanes.sums, "zeroinitializer")],
        )
        return self.lanes.divide(total, high - low)

    def _sort(self) -> None:
        """Put the wanted ranks into their rows."""
        code, columns = self.code, self.columns
        size = columns.n if columns.straight else RUN
        network = selection(size, 0, size)

        def run(start: str, _: list[str]) -> list[str]:
            here = code.at(self.lanes.vector, "%base", start)
            self._execute(network, here, self._ahead(start, size), partial(self.lanes.store, here))
            return []

        if columns.straight:
            run("0", [])
        else:
            code.loop((0, columns.padded - 1, RUN), run)
            self._merge()

    def _ahead(self, start: str, rows: int) -> list[Callable[[], None]]:
        """Return steps that each fetch a line of the next tile, of half the rows from ``start``."""
        code = self.code
        half = (rows + 1) // 2
        first = code.new(f"add i64 {start}, {code.new(f'mul i64 %odd, {rows - half}')}")

        def step(row: int) -> None:
            self._fetch(code.new(f"add i64 {first}, {row}"))

        return [partial(step, row) for row in range(half)]

    def _fetch(self, row: str) -> None:
        pointer = self.code.new(f"load ptr, ptr {self.code.at('ptr', '%rows', row)}")
        place = self.code.at("i8", pointer, "%ahead")
        self.code.add(f"call void @llvm.prefetch.p0(ptr {place}, i32 0, i32 3, i32 1)")

    def _execute(
        self,
        network: Network,
        base: str,
        steps: list[Callable[[], None]],
        use: Callable[[int, str], None],
    ) -> None:
        """Run a network on the rows from ``base`` on, the steps strewn between the comparators.

        ``use`` takes each wanted value in ascending order, with its place among them, as soon
        as it is certain: it then need not be kept. By then every row has been read.
        """
        pairs, outputs = network.pairs, network.outputs
        values: dict[int, str] = {}
        last = {row: turn for turn, pair in enumerate(pairs) for row in pair}
        used = 0

        def value(row: int) -> str:
            return values.get(row) or self.lanes.load(base, row)

        every = max(1, len(pairs) // len(steps))
        for turn, (low, high) in enumerate(pairs):
            if turn % every == 0 and turn // every < len(steps):
                steps[turn // every]()
            values[low], values[high] = self.lanes.compare(value(low), value(high))
            while used < len(outputs) and last[outputs[used]] <= turn:
                use(used, values[outputs[used]])
                used += 1
        if not pairs:
            use(0, value(0))

    def _merge(self) -> None:
        """Run the passes of the table."""
        offset = 0
        for each in self.columns.passes:
            step = partial(self._pass, offset, each.rows.shape[1])
            self.code.loop((0, len(each.rows), 1), step)
            offset += 2 * each.rows.size

    def _pass(self, offset: int, wires: int, index: str, _: list[str]) -> list[str]:
        """Run one entry of the table: 2 or 4 rows to read, as many to write."""
        code = self.code
        entry = code.new(f"add i64 {code.new(f'mul i64 {index}, {2 * wires}')}, {offset}")
        places = []
        for wire in range(2 * wires):
            where = code.at("i32", "%table", code.new(f"add i64 {entry}, {wire}"))
            bytes_off = code.new(f"zext i32 {code.new(f'load i32, ptr {where}')} to i64")
            places.append(code.at("i8", "%base", bytes_off))
        values = [self.lanes.load(place, 0) for place in places[:wires]]
        if wires == 4:  # noqa: PLR2004 - else 2: one comparator
            p, q, s, t = values
            (p, s), (q, t) = self.lanes.compare(p, s), self.lanes.compare(q, t)
            values = [*self.lanes.compare(p, q), *self.lanes.compare(s, t)]
        else:
            values = [*self.lanes.compare(*values)]
        for value, place in zip(values, places[wires:], strict=True):
            self.lanes.store(place, 0, value)
        return []

    def _nearest(self, count: int) -> str:
        """Return the mean of the ``count`` values nearest to the median, the rows being sorted.

        Windows of ``count`` rows move on while a + b < 2m, for a that they drop, b that they
        take up and the median m: these sums only grow, so that their number is the start.
        """
        code, n = self.code, self.columns.n
        twice = self.lanes.add(
            self.lanes.widen(self.lanes.load("%base", (n - 1) // 2)),
            self.lanes.load("%base", n // 2),
        )

        def move(start: str, counts: list[str]) -> list[str]:
            ahead = code.new(f"add i64 {start}, {count}")
            both = self.lanes.add(
                self.lanes.widen(self.lanes.load("%base", start)), self.lanes.load("%base", ahead)
            )
            nearer = code.new(f"fcmp olt {self.lanes.sums} {both}, {twice}")
            one = code.new(f"zext <{self.lanes.width} x i1> {nearer} to {self.lanes.counts}")
            return [code.new(f"add {self.lanes.counts} {counts[0]}, {one}")]

        starts = "zeroinitializer"
        if count < n:
            (starts,) = code.loop((0, n - count, 1), move, [(self.lanes.counts, starts)])
        many, one = self.lanes.constant("i32", count), self.lanes.constant("i32", 1)

        def pick(row: str, carried: list[str]) -> list[str]:
            total, place = carried
            past = code.new(f"sub {self.lanes.counts} {place}, {starts}")
            inside = code.new(f"icmp ult {self.lanes.counts} {past}, {many}")
            value = self.lanes.load("%base", row)
            picked = self.lanes.select(inside, value, "zeroinitializer")
            return [
                self.lanes.add(total, picked),
                code.new(f"add {self.lanes.counts} {place}, {one}"),
            ]

        first = [(self.lanes.sums, "zeroinitializer"), (self.lanes.counts, "zeroinitializer")]
        total, _ = code.loop((0, n, 1), pick, first)
        mean = self.lanes.divide(total, count)
        return self._unless_huge(mean) if self.lanes.wide else mean

    def _unless_huge(self, mean: str) -> str:
        """Return NaN where a sum may have overflowed, for the caller to see."""
        code, limit = self.code, LARGEST / (2 * self.columns.n)
        above = self.lanes.constant("double", limit)
        below = self.lanes.constant("double", -limit)
        last = self.lanes.load("%base", self.columns.n - 1)
        high = code.new(f"fcmp olt {self.lanes.vector} {last}, {above}")
        low = code.new(f"fcmp ogt {self.lanes.vector} {self.lanes.load('%base', 0)}, {below}")
        fine = code.new(f"and <{self.lanes.width} x i1> {high}, {low}")
        return self.lanes.select(fine, mean, self.lanes.constant("double", float("nan")))

    def _vote(self, threshold: int) -> str:
        """Return the mean of the rows in their order, negated where the majority is too small."""
        code, lanes = self.code, self.lanes
        kinds = [(lanes.sums, "zeroinitializer"), (lanes.counts, "zeroinitializer")]

        def count(row: str, carried: list[str]) -> list[str]:
            total, votes = carried
            self._fetch(row)
            value = lanes.load("%base", row)
            for test, change in (("ogt", "add"), ("olt", "sub")):
                mask = code.new(f"fcmp {test} {lanes.vector} {value}, zeroinitializer")
                one = code.new(f"zext <{lanes.width} x i1> {mask} to {lanes.counts}")
                votes = code.new(f"{change} {lanes.counts} {votes}, {one}")
            return [lanes.add(total, value), votes]

        total, votes = code.loop((0, self.columns.n, 1), count, kinds)
        mean = lanes.divide(total, self.columns.n)
        high, low = lanes.constant("i32", threshold), lanes.constant("i32", -threshold)
        more = code.new(f"icmp sge {lanes.counts} {votes}, {high}")
        less = code.new(f"icmp sle {lanes.counts} {votes}, {low}")
        enough = code.new(f"or <{lanes.width} x i1> {more}, {less}")
        return lanes.select(enough, mean, code.new(f"fneg {lanes.vector} {mean}"))
