"""Defense × attack, as numbers: what the page and the figures both draw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.questions import Reading, read
from quickthorn.simulations.comparison.ranking import rank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.simulations.comparison.summary import Condition, Summary

Measure = Literal["accuracy", "attack success", "detection"]

# The figure of a record, the one that stands beside it, and whether a low value is bad.
_FIGURES: Mapping[Measure, tuple[str, str, bool]] = {
    "accuracy": ("final", "peak", True),
    "attack success": ("attack_success", "attack_success_floor", False),
    "detection": ("detection_auc", "false_alarms", True),
}
WORST, MEAN = "worst over splits", "mean over splits"


@dataclass(frozen=True)
class Entry:
    """A cell: its figure, the one beside it (peak, floor, false alarms), and what is not there.

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
        return self.value is not None and not (self.failed or self.missing)


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
        return _FIGURES[self.measure][2]

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


def matrix(summary: Summary, condition: Condition, view: str, measure: Measure) -> Matrix:
    """Return one heat map; columns without any figure are left out of other measures."""
    best = [standing.defense for standing in rank(summary, condition)]
    rows = (*best, *(name for name in summary.defenses if name not in best))
    entries = {
        (row, column): _entry(summary, condition, (row, column), (view, measure))
        for row in rows
        for column in summary.attacks
    }
    columns = tuple(
        column
        for column in summary.attacks
        if measure == "accuracy" or any(entries[row, column].value for row in rows)
    )
    return Matrix(measure, condition, view, rows, columns, entries)


def _entry(
    summary: Summary, condition: Condition, cell: tuple[str, str], what: tuple[str, Measure]
) -> Entry:
    view, measure = what
    figure, beside, low_is_bad = _FIGURES[measure]
    over = view in {WORST, MEAN}
    splits = () if over else (view,)
    value = read(
        summary,
        condition,
        cell,
        figure=figure,
        view="mean" if view == MEAN else "worst",
        splits=splits,
        low_is_bad=low_is_bad,
    )
    # Beside the worst split stands the figure of that same split.
    own = (value.split,) if value and value.split else splits
    other = (
        read(summary, condition, cell, figure=beside, view="mean", splits=own) if value else None
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
