"""How many attackers a defense stands: its breakdown point f*, and the curve that leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.backdoors import worst_backdoor
from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.questions import unattacked_by_seed, worst_case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.summary import Condition, Estimate, Summary

# f* is the last number of attackers at which no attack costs more accuracy than this.
WITHIN = 0.05


@dataclass(frozen=True)
class Breakdown:
    """The breakdown point f* of a defense.

    Attributes
    ----------
    attackers
        f*: the largest number of attackers in the grid up to which the ``fall`` of the accuracy
        stays within ``WITHIN``, and no backdoor gets in. 0 if that never holds.
    broken
        The next number of attackers in the grid, where it does not hold; None where it held as
        far as the grid goes or has been run, so that f* may be larger.
    failed
        Whether it does not hold there as its runs failed: the defense refuses such a cohort,
        for instance.

    """

    attackers: int
    broken: int | None = None
    failed: bool = False


def families(summary: Summary) -> dict[str, tuple[Condition, ...]]:
    """Group the conditions along which the number of attackers grows.

    Either the defense always assumes as many liars as there are, or a fixed number.
    """
    sizes = sorted({condition.clients for condition in summary.conditions})
    groups: dict[str, tuple[Condition, ...]] = {}
    for n in sizes:
        own = tuple(item for item in summary.conditions if item.clients == n and item.attackers)
        if all(item.attackers == item.byzantine for item in own):
            groups[f"n = {n}, f assumed = attackers"] = own
            continue
        for f in sorted({item.byzantine for item in own}):
            members = tuple(item for item in own if item.byzantine == f)
            groups[f"n = {n}, f assumed = {f}"] = members
    return {name: members for name, members in groups.items() if members}


def breakdown(
    summary: Summary,
    family: Sequence[Condition],
    defense: str,
    splits: Sequence[str] = (),
) -> Breakdown | None:
    """Return f* over a family of conditions, or None without a run that has no attack."""
    if NO_ATTACK not in summary.attacks:
        return None
    held = 0
    for condition in family:
        lost = fall(summary, condition, defense, splits)
        if lost is None:
            if _has_failed(summary, condition, defense, splits):
                return Breakdown(held, condition.attackers, failed=True)
            break
        backdoor = worst_backdoor(summary, condition, defense, splits)
        lets_in = backdoor is not None and backdoor.is_in
        if lets_in or lost > WITHIN:
            return Breakdown(held, condition.attackers)
        held = condition.attackers
    return Breakdown(held) if held else None


def fall(
    summary: Summary, condition: Condition, defense: str, splits: Sequence[str] = ()
) -> float | None:
    """Return the most accuracy that an attack takes from a defense on a split.

    Each worst case is held against the same split without an attack: a hard division of the data
    is no attack. None if a worst case is not known, or a split lacks a run without an attack.
    """
    falls = []
    for split in splits or summary.splits_of(condition):
        base = unattacked_by_seed(summary, condition, defense, (split,))
        calm = summary.cell(condition, split, defense, NO_ATTACK)
        worst = worst_case(summary, condition, defense, (split,))
        if not base or calm is None or not calm.is_whole or worst is None:
            return None
        falls.append(fmean(base.values()) - worst[1].value.mean)
    return max(falls, default=None)


def _has_failed(
    summary: Summary, condition: Condition, defense: str, splits: Sequence[str]
) -> bool:
    cells = (
        summary.cell(condition, split, defense, attack)
        for split, attack in product(splits or summary.splits_of(condition), summary.attacks)
    )
    return any(cell is not None and cell.failed for cell in cells)


def worst_by_attackers(
    summary: Summary, family: Sequence[Condition], defense: str
) -> list[tuple[int, Estimate]]:
    """Return (attackers, worst case over attacks and splits), where all of it is known."""
    found = [
        (condition.attackers, worst_case(summary, condition, defense, ())) for condition in family
    ]
    return [(attackers, worst[1].value) for attackers, worst in found if worst is not None]
