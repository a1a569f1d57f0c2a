"""Defense × attack, as numbers: what the page and the figures both draw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal, NamedTuple

from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.questions import Reading, read
from quickthorn.simulations.comparison.ranking import rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quickthorn.simulations.comparison.summary import Condition, Summary

Measure = Literal["accuracy", "worst class", "attack success", "detection"]


class _Figures(NamedTuple):
    """Two figures of a record: the measure, and what stands beside it under which name."""

    figure: str
    beside: str
    name: str
    low_is_bad: bool = True


_FIGURES: Mapping[Measure, _Figures] = {
    "accuracy": _Figures("final", "peak", "peak"),
    "worst class": _Figures("worst_recall", "final", "all"),
    "attack success": _Figures("attack_success", "attack_success_floor", "floor", low_is_bad=False),
    "detection": _Figures("detection_auc", "false_alarms", "false"),
}
WORST, MEAN = "worst over splits", "mean over splits"


@dataclass(frozen=True)
class Entry:
    """A cell: its figure, the one beside it (peak, floor …), and what is not there.

    Attributes
    ----------
    value, beside
        None where no run has the figure.
    split
        Of which split it is the worst; empty for a mean.
    failed, missing
        Runs that failed and runs without a result, over the splits of the view.

    """

    value: Reading | None
    beside: Reading | None
    split: str
    failed: int
    missing: int

    @property
    def is_whole(self) -> bool:
        """Return whether it is of all the runs that are planned."""
        return self.value is not None and not self.lacks

    @property
    def lacks(self) -> str:
        """Return in words how many runs are not there."""
        words = [f"{self.failed} failed"] if self.failed else []
        words += [f"{self.missing} not run"] if self.missing else []
        return ", ".join(words)


@dataclass(frozen=True)
class Matrix:
    """A heat map: rows are defenses, best worst case first; columns are attacks."""

    measure: Measure
    condition: Condition
    view: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: Mapping[tuple[str, str], Entry]

    @property
    def low_is_bad(self) -> bool:
        """Return whether a low value is a bad one."""
        return _FIGURES[self.measure].low_is_bad

    @property
    def beside(self) -> str:
        """Return what the figure beside the value is called."""
        return _FIGURES[self.measure].name

    def worst(self, row: str) -> str | None:
        """Return the attack with the worst entry of a row, or None if one is not whole."""
        entries = {name: self.entries[row, name] for name in self.columns if name != NO_ATTACK}
        if not entries or not all(entry.is_whole for entry in entries.values()):
            return None
        means = {name: entry.value.value.mean for name, entry in entries.items() if entry.value}
        pick = min if self.low_is_bad else max
        return pick(means, key=lambda name: means[name])


def views(summary: Summary, condition: Condition) -> tuple[str, ...]:
    """Return the views of a condition: over the splits, where there are several, and each."""
    cells = tuple(product(summary.defenses, summary.attacks))
    # Those without an attack alone are not in the views over the splits.
    splits = tuple(
        split
        for split in summary.splits
        if any(summary.cell(condition, split, *cell) is not None for cell in cells)
    )
    return (WORST, MEAN, *splits) if len(splits) > 1 else splits


def matrices(summary: Summary, condition: Condition, measure: Measure) -> Iterator[Matrix]:
    """Give the heat map of each view.

    Attacks of which nothing is planned in a view have no column, nor, but for the accuracy,
    those without any figure: not every attack is a backdoor.
    """
    best = [standing.defense for standing in rank(summary, condition)]
    rows = (*best, *(name for name in summary.defenses if name not in best))
    for view in views(summary, condition):
        entries = {
            cell: _entry(summary, condition, cell, (view, measure))
            for cell in product(rows, summary.attacks)
        }
        columns = tuple(
            column
            for column in summary.attacks
            if any(_is_there(entries[row, column], measure) for row in rows)
        )
        yield Matrix(measure, condition, view, rows, columns, entries)


def _is_there(entry: Entry, measure: Measure) -> bool:
    return entry.value is not None or (measure == "accuracy" and bool(entry.lacks))


def _entry(
    summary: Summary, condition: Condition, cell: tuple[str, str], what: tuple[str, Measure]
) -> Entry:
    view, measure = what
    wanted = _FIGURES[measure]
    over = view in {WORST, MEAN}
    splits = () if over else (view,)
    value = read(
        summary,
        condition,
        cell,
        figure=wanted.figure,
        view="mean" if view == MEAN else "worst",
        splits=splits,
        low_is_bad=wanted.low_is_bad,
    )
    # Beside the worst split stands the figure of that same split.
    own = (value.split,) if value and value.split else splits
    other = (
        read(summary, condition, cell, figure=wanted.beside, view="mean", splits=own)
        if value
        else None
    )
    planned = splits or summary.splits_of(condition, cell[1])
    found = [summary.cell(condition, split, *cell) for split in planned]
    return Entry(
        value=value,
        beside=other,
        split=value.split if value and view == WORST else "",
        failed=sum(item.failed for item in found if item),
        missing=sum(item.missing for item in found if item),
    )
