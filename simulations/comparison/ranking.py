"""Which defense to take: the order of worst cases, and what the seeds cannot tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.backdoors import worst_backdoor
from quickthorn.simulations.comparison.breakdown import WITHIN, fall
from quickthorn.simulations.comparison.questions import cost, loss, worst_case
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS, estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quickthorn.simulations.comparison.backdoors import Backdoor
    from quickthorn.simulations.comparison.questions import Cost, Reading
    from quickthorn.simulations.comparison.summary import Condition, Estimate, Summary

# Too few seeds for an interval: smaller differences are called a tie.
SAME = 0.01


@dataclass(frozen=True)
class Standing:
    """A defense in the order of worst cases.

    Attributes
    ----------
    defense
        Its text form.
    worst
        Accuracy at the end under the attack (and on the split) that hurts it most.
    attack, split
        Which these are.
    tied
        Whether the seeds cannot tell it from the first; see ``rank``.
    fall
        What an attack takes from its accuracy at most, see ``fall``; None where the grid cannot
        say.
    worst_class
        The lowest recall of a class, and under which attack; over the same attacks and splits.
    backdoor
        The most successful one; None where the grid has none.
    loss
        Accuracy lost without an attack, see ``loss``; None where the grid cannot say.
    cost
        What it takes per round, see ``cost``; None where that is not known.

    """

    defense: str
    worst: Estimate
    attack: str
    split: str
    tied: bool
    fall: float | None
    worst_class: tuple[str, Reading] | None
    backdoor: Backdoor | None
    loss: Estimate | None
    cost: Cost | None

    @property
    def is_hurt(self) -> bool:
        """Return whether an attack takes more of its accuracy than a defense may lose."""
        return self.fall is not None and self.fall > WITHIN

    @property
    def is_good(self) -> bool:
        """Return whether it holds: no attack takes much, and no backdoor gets in."""
        return not self.is_hurt and not (self.backdoor is not None and self.backdoor.is_in)


@dataclass(frozen=True)
class Unranked:
    """A defense without a place in the order: its worst case is not known.

    Attributes
    ----------
    defense
        Its text form.
    done, planned
        How many runs the condition asks of it, with an attack and without, and how many are done.
    failed, missing
        Attack and split to how many of these runs failed, or are not done yet.
    pairs
        Of how many attacks and splits these runs are.
    unplanned
        Attacks and splits under which the grid runs other defenses and not this one, or with more
        seeds.

    """

    defense: str
    done: int
    planned: int
    failed: Mapping[tuple[str, str], int]
    missing: Mapping[tuple[str, str], int]
    pairs: int
    unplanned: tuple[tuple[str, str], ...]


def rank(
    summary: Summary, condition: Condition, splits: Sequence[str] = ()
) -> tuple[Standing, ...]:
    """Order the defenses by their worst case over all attacks and the splits, best first.

    Only those that have all their runs; ``unranked`` returns the others. Accuracy does not show a
    backdoor, so a defense that lets one in stands behind all that let none in. One is tied with
    the first if both let one in or neither does, and the 95 % t-interval of the difference of
    their worst cases, seed by seed, holds zero; with fewer than 3 common seeds, if the means
    differ by less than 1 point.
    """
    left_out = {item.defense for item in unranked(summary, condition, splits)}
    worst = {
        defense: found
        for defense in summary.defenses
        if defense not in left_out
        and (found := worst_case(summary, condition, defense, splits)) is not None
    }
    backdoors = {name: worst_backdoor(summary, condition, name, splits) for name in worst}
    is_in = {name: found is not None and found.is_in for name, found in backdoors.items()}
    order = sorted(worst, key=lambda name: (is_in[name], -worst[name][1].value.mean))
    finals = {name: _finals(summary, condition, name, *worst[name]) for name in order}
    return tuple(
        Standing(
            defense=name,
            worst=worst[name][1].value,
            attack=worst[name][0],
            split=worst[name][1].split,
            tied=name != order[0]
            and is_in[name] == is_in[order[0]]
            and _tied(finals[order[0]], finals[name]),
            fall=fall(summary, condition, name, splits),
            worst_class=worst_case(summary, condition, name, splits, figure="worst_recall"),
            backdoor=backdoors[name],
            loss=loss(summary, condition, name, splits),
            cost=cost(summary, condition, name),
        )
        for name in order
    )


def unranked(
    summary: Summary, condition: Condition, splits: Sequence[str] = ()
) -> tuple[Unranked, ...]:
    """Return the defenses that cannot be compared yet, or not at all, and what they lack.

    A worst case over fewer runs than planned, or than the other defenses have, is no worst case:
    it would reward whoever failed under the worst attack.
    """
    asked = summary.asked(condition, splits)
    found = (_lack(summary, condition, defense, asked) for defense in summary.defenses)
    return tuple(item for item in found if item is not None)


def is_pending(left_out: Sequence[Unranked]) -> bool:
    """Return whether the order may still change: runs are not done yet."""
    return any(item.missing for item in left_out)


def _lack(
    summary: Summary, condition: Condition, defense: str, asked: Sequence[tuple[str, str]]
) -> Unranked | None:
    splits = dict.fromkeys(split for _, split in asked)
    cells = {
        (attack, split): cell
        for attack, split in product(summary.attacks, splits)
        if (cell := summary.cell(condition, split, defense, attack)) is not None
    }
    unplanned = tuple(
        (attack, split)
        for attack, split in asked
        if (attack, split) not in cells
        or cells[attack, split].planned < summary.most_seeds(condition, split, attack)
    )
    if not unplanned and all(cell.is_whole for cell in cells.values()):
        return None
    return Unranked(
        defense=defense,
        done=sum(len(cell.by_seed) for cell in cells.values()),
        planned=sum(cell.planned for cell in cells.values()),
        failed={pair: cell.failed for pair, cell in cells.items() if cell.failed},
        missing={pair: cell.missing for pair, cell in cells.items() if cell.missing},
        pairs=len(cells),
        unplanned=unplanned,
    )


def _finals(
    summary: Summary, condition: Condition, defense: str, attack: str, reading: Reading
) -> Mapping[int, float]:
    cell = summary.cell(condition, reading.split, defense, attack)
    return {} if cell is None else {seed: run.final for seed, run in cell.by_seed.items()}


def _tied(best: Mapping[int, float], other: Mapping[int, float]) -> bool:
    common = sorted(best.keys() & other.keys())
    if len(common) < FEWEST_SEEDS:
        return fmean(best.values()) - fmean(other.values()) < SAME
    return estimate([best[seed] - other[seed] for seed in common]).low <= 0
