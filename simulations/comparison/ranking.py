"""Which defense to take: the order of worst cases, and what the seeds cannot tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.backdoors import worst_backdoor
from quickthorn.simulations.comparison.questions import loss, seconds_per_round, worst_case
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS, estimate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quickthorn.simulations.comparison.backdoors import Backdoor
    from quickthorn.simulations.comparison.questions import Reading
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
    backdoor
        The most successful one; None where the grid has none.
    loss
        Accuracy lost without an attack, see ``loss``; None where the grid cannot say.
    seconds
        What it takes per round, see ``defense_seconds``.

    """

    defense: str
    worst: Estimate
    attack: str
    split: str
    tied: bool
    backdoor: Backdoor | None
    loss: Estimate | None
    seconds: float | None


def rank(
    summary: Summary, condition: Condition, splits: Sequence[str] = ()
) -> tuple[Standing, ...]:
    """Order the defenses by their worst case over all attacks and the splits, best first.

    Accuracy does not show a backdoor, so a defense that lets one in stands behind all that let
    none in. One is tied with the first if both let one in or neither does, and the 95 %
    t-interval of the difference of their worst cases, seed by seed, holds zero; with fewer than
    3 common seeds, if the means differ by less than 1 point. A defense that lacks the result of
    an attack is left out: its worst case is not known.
    """
    worst = {
        defense: found
        for defense in summary.defenses
        if (found := worst_case(summary, condition, defense, splits)) is not None
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
            backdoor=backdoors[name],
            loss=loss(summary, condition, name, splits),
            seconds=seconds_per_round(summary, name),
        )
        for name in order
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
