"""Writing LLVM's intermediate language: names, and loops that carry values."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Code:
    """The lines of one function, in the making.

    >>> code = Code()
    >>> code.new("add i64 1, 2")
    '%v0'
    >>> code.lines
    ['%v0 = add i64 1, 2']
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names = 0
        self._label = "entry"

    def new(self, expression: str) -> str:
        """Add an expression; return the name of its value."""
        name = f"%v{self._names}"
        self._names += 1
        self.lines.append(f"{name} = {expression}")
        return name

    def add(self, line: str) -> None:
        """Add an instruction without a value."""
        self.lines.append(line)

    def at(self, kind: str, base: str, index: str | int) -> str:
        """Return a pointer to element ``index`` of type ``kind`` from ``base`` on."""
        return self.new(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def loop(
        self,
        bounds: tuple[str | int, str | int, int],
        body: Callable[[str, list[str]], list[str]],
        carried: Sequence[tuple[str, str]] = (),
    ) -> list[str]:
        """Add a loop that runs at least once.

        Parameters
        ----------
        bounds
            Start, stop (not included) and step of the index, int64.
        body
            Adds the body, given the index and the carried values; returns the next ones.
        carried
            Type and first value of what goes from one turn to the next.

        Returns
        -------
        list[str]
            The carried values after the last turn.

        """
        start, stop, step = bounds
        label, before, mark = f"L{self._names}", self._label, len(self.lines) + 2
        self.lines += [f"br label %{label}", f"{label}:"]
        self._label = label
        index, after = f"%{label}.i", f"%{label}.next"
        names = [f"%{label}.c{k}" for k in range(len(carried))]
        self._names += 1
        results = body(index, names)
        last = self._label
        self.lines += [
            f"{after} = add i64 {index}, {step}",
            f"%{label}.done = icmp uge i64 {after}, {stop}",
            f"br i1 %{label}.done, label %{label}.end, label %{label}",
            f"{label}.end:",
        ]
        self.lines[mark:mark] = [
            f"{name} = phi {kind} [{first}, %{before}], [{again}, %{last}]"
            for name, kind, first, again in [
                (index, "i64", str(start), after),
                *((n, k, f, r) for n, (k, f), r in zip(names, carried, results, strict=True)),
            ]
        ]
        self._label = f"{label}.end"
        return results
