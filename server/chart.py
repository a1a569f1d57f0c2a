"""A small chart for the terminal: one column per round, without color, in ASCII if need be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quickthorn.strategies.reputation import STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HALVES = "  ....###"  # the same in ASCII
_LABELS = ("1.0", "   ", "0.5", "   ", "0.0")
_MARGIN = "      "
_LETTERS = {state: state[0] for state in STATES} | {"banned": "X"}
_TICK = 5


@dataclass(frozen=True)
class Point:
    """One round: its number, a value from 0 to 1 or None, and the state after it."""

    number: int
    value: float | None
    state: str


def draw(points: Sequence[Point], *, width: int = 80, ascii_only: bool = False) -> str:
    """Return the chart of ``points`` as lines of at most ``width`` characters.

    Rounds that do not fit side by side share a column, which shows the highest of them.

    Example
    -------
    >>> values = [0.1, 0.4, None, 1.0, 1.0]
    >>> states = ["probation", "healthy", "healthy", "watch", "quarantined"]
    >>> print(draw([Point(i, v, s) for i, (v, s) in enumerate(zip(values, states), 1)],
    ...            ascii_only=True))
    1.0 |   ##
        |   ##
    0.5 |   ##
        | # ##
    0.0 |.#-##
        +-----
         phhwq
         1   5
    p probation, h healthy, w watch, q quarantined, - not scored

    """
    share = max(1, math.ceil(len(points) / (width - len(_MARGIN))))
    groups = [points[start : start + share] for start in range(0, len(points), share)]
    values = [
        max((p.value for p in group if p.value is not None), default=None) for group in groups
    ]
    bar, corner, floor, gap = ("|", "+", "-", "-") if ascii_only else ("│", "└", "─", "·")
    blocks, rows = _HALVES if ascii_only else _EIGHTHS, len(_LABELS)
    lines = [
        f"{label} {bar}"
        + "".join(_cell(value, rows - 1 - row, rows, blocks, gap) for value in values)
        for row, label in enumerate(_LABELS)
    ]
    lines.append(f"    {corner}{floor * len(groups)}")
    lines.append("     " + "".join(_LETTERS[group[-1].state] for group in groups))
    lines.append("     " + _ticks([group[0].number for group in groups]))
    seen = [state for state in STATES if any(point.state == state for point in points)]
    legend = [f"{_LETTERS[state]} {state}" for state in seen]
    if None in values:
        legend.append(f"{gap} not scored")
    if share > 1:
        legend.append(f"a column is the highest of {share} rounds")
    return "\n".join([*(line.rstrip() for line in lines), ", ".join(legend)])


def _cell(value: float | None, row: int, rows: int, blocks: str, gap: str) -> str:
    """Return what ``value`` fills of the cell ``row``, counted from below."""
    if value is None:
        return gap if row == 0 else " "
    eighths = round(8 * (value * rows - row))
    if row == 0:
        eighths = max(eighths, 2)  # a score of 0 is a score
    return blocks[min(max(eighths, 0), len(blocks) - 1)]


def _ticks(numbers: Sequence[int]) -> str:
    """Write every fifth number below its column, as far as there is room."""
    text = ""
    for column, number in enumerate(numbers):
        if (column == 0 or (column + 1) % _TICK == 0) and len(text) <= column:
            text = text.ljust(column) + str(number)
    return text
