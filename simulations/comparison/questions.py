"""The questions that a comparison answers, each as a pure function of its summary."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal

from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.results import defense_seconds, round_seconds
from quickthorn.simulations.comparison.summary import (
    Condition,
    Estimate,
    Summary,
    estimate,
    figure_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.summary import Cell

View = Literal["worst", "mean"]


@dataclass(frozen=True)
class Reading:
    """A figure over splits: its estimate, and the split that it is of (where it is of one)."""

    value: Estimate
    split: str


@dataclass(frozen=True)
class Cost:
    """Seconds per round, and of how many runs they are the median."""

    seconds: float
    runs: int


def read(  # noqa: PLR0913 - what to read, and how, are a keyword each
    summary: Summary,
    condition: Condition,
    cell: tuple[str, str],
    *,
    figure: str = "final",
    view: View = "worst",
    splits: Sequence[str] = (),
    low_is_bad: bool = True,
) -> Reading | None:
    """Return a figure of (defense, attack) over the splits.

    Parameters
    ----------
    summary, condition, cell
        Where to look; ``cell`` is the defense and the attack.
    figure
        ``final``, ``peak``, ``worst_recall``, ``attack_success``, ``attack_success_floor``,
        ``detection_auc`` or ``false_alarms``.
    view
        ``worst``: of the split whose mean over seeds is the worst. ``mean``: over the splits,
        for each seed that all of them have; the interval is over these means.
    splits
        Which; all on which the grid asks for the attack if empty.
    low_is_bad
        What ``worst`` means.

    Returns
    -------
    Reading or None
        None if one of the splits has no result: a worst case over some is none over all.

    """
    known, cells = [], []
    for split in splits or summary.splits_of(condition, cell[1]):
        found = summary.cell(condition, split, *cell)
        value = found.of(figure) if found else None
        if found is None or value is None:
            return None
        known.append(Reading(value, split))
        cells.append(found)
    if not known:
        return None
    if view == "worst":
        worst = min if low_is_bad else max
        return worst(known, key=lambda reading: reading.value.mean)
    by_seed = _mean_by_seed(cells, figure)
    return Reading(estimate(by_seed), "") if by_seed else None


def _mean_by_seed(cells: Sequence[Cell], figure: str) -> list[float]:
    seeds = set.intersection(*(set(cell.by_seed) for cell in cells))
    rows = ([figure_of(cell.by_seed[seed], figure) for cell in cells] for seed in sorted(seeds))
    present = ([value for value in row if value is not None] for row in rows)
    return [fmean(row) for row in present if len(row) == len(cells)]


def worst_case(
    summary: Summary,
    condition: Condition,
    defense: str,
    splits: Sequence[str] = (),
    *,
    figure: str = "final",
) -> tuple[str, Reading] | None:
    """Return the attack under which a figure of a defense is lowest, and that: its accuracy.

    Over every attack and split that the grid asks of some defense under the condition. None if
    this defense is not run under one of them, or a run is missing: then it is not known.
    """
    known = []
    for attack, split in summary.asked(condition, splits):
        cell = summary.cell(condition, split, defense, attack)
        value = cell.of(figure) if cell is not None and cell.is_whole else None
        if value is None:
            return None
        known.append((attack, Reading(value, split)))
    return min(known, key=lambda pair: pair[1].value.mean, default=None)


def loss(
    summary: Summary, condition: Condition, defense: str, splits: Sequence[str] = ()
) -> Estimate | None:
    """Return the accuracy lost without an attack: that of the reference less the defense's.

    Both without attackers, on the same splits and seeds. None if the grid has no run without an
    attack.
    """
    own = unattacked_by_seed(summary, condition, defense, splits)
    best = unattacked_by_seed(summary, condition, reference(summary, condition, splits), splits)
    common = sorted(own.keys() & best.keys())
    return estimate([best[seed] - own[seed] for seed in common]) if common else None


def reference(summary: Summary, condition: Condition, splits: Sequence[str] = ()) -> str:
    """Return the defense that the others lose to: ``mean``, or the best where the grid has none."""

    def accuracy(defense: str) -> float:
        found = unattacked(summary, condition, defense, splits)
        return found.mean if found else 0.0

    return "mean" if "mean" in summary.defenses else max(summary.defenses, key=accuracy)


def unattacked(
    summary: Summary, condition: Condition, defense: str, splits: Sequence[str] = ()
) -> Estimate | None:
    """Return the accuracy without an attack, the mean over the splits; None without such runs."""
    by_seed = unattacked_by_seed(summary, condition, defense, splits)
    return estimate(list(by_seed.values())) if by_seed else None


def unattacked_by_seed(
    summary: Summary, condition: Condition, defense: str, splits: Sequence[str] = ()
) -> dict[int, float]:
    """Return seed to accuracy without an attack, the mean over the splits."""
    names = splits or summary.splits_of(condition)
    cells = [cell for name in names if (cell := summary.cell(condition, name, defense, NO_ATTACK))]
    if len(cells) < len(names):
        return {}
    seeds = sorted(set.intersection(*(set(cell.by_seed) for cell in cells)))
    return dict(zip(seeds, _mean_by_seed(cells, "final"), strict=True))


def cost(
    summary: Summary, condition: Condition, defense: str, *, whole: bool = False
) -> Cost | None:
    """Return what a round costs under a condition: the defense's part, or the whole.

    The median over the runs with an attack and without. None if there is none yet, or none whose
    stages are known.
    """
    cells = (
        summary.cell(condition, split, defense, attack)
        for attack, split in product(summary.attacks, summary.splits_of(condition))
    )
    records = [record for cell in cells if cell for record in cell.by_seed.values()]
    costs = [round_seconds(record) if whole else defense_seconds(record) for record in records]
    known = [seconds for seconds in costs if seconds is not None]
    return Cost(median(known), len(known)) if known else None
