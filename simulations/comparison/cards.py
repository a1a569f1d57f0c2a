"""A card of the page: the answer under one condition, its evidence, and whom it leaves out."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.questions import reference, unattacked
from quickthorn.simulations.comparison.ranking import SAME, is_pending, rank, unranked
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS
from quickthorn.simulations.comparison.texts import (
    count,
    duration,
    interval,
    on_splits,
    percent,
    points,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from quickthorn.simulations.comparison.ranking import Standing, Unranked
    from quickthorn.simulations.comparison.summary import Condition, Summary

_MOST_NAMES = 4  # a longer list is cut


def card(summary: Summary, condition: Condition) -> str:
    """Return the answer for so many hostile clients, or what it lacks."""
    standings = rank(summary, condition)
    more = f"{_by_split(summary, condition)}{_not_ranked(summary, condition)}"
    if not standings:
        return f'<article class="card">{_when(condition)}{more}</article>'
    best = standings[0]
    facts = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}<small>{escape(note)}</small></dd>"
        for name, text, note in _facts(summary, condition, standings)
    ).replace(" %", "&nbsp;%")
    take = "Take" if best.is_good else "Best of these:"
    if is_pending(unranked(summary, condition)):
        take = "So far"
    return (
        f'<article class="card">{_when(condition)}'
        f'<p class="take">{take} {escape(best.defense)}</p>'
        f'<p class="score"><b>{percent(best.worst.mean)} %</b>{_spread(best)}</p>'
        f'<p class="why">accuracy in the worst case: {escape(_why(summary, condition, best))}</p>'
        f"<dl>{facts}</dl>{more}</article>"
    )


def _why(summary: Summary, condition: Condition, best: Standing) -> str:
    """Return what the worst case is of, and what the defense reaches there without an attack."""
    where = _place(summary, condition, best.attack, best.split)
    calm = unattacked(summary, condition, best.defense, (best.split,))
    if calm is None or best.attack == NO_ATTACK:
        return where
    there = " there" if len(summary.splits_of(condition)) > 1 else ""
    return f"{where}; without an attack{there} {percent(calm.mean)} %"


def _facts(
    summary: Summary, condition: Condition, standings: Sequence[Standing]
) -> Iterator[tuple[str, str, str]]:
    """Give what there is to say of the first: a name, a figure, and what it is of."""
    best = standings[0]
    ties = [standing for standing in standings[1:] if standing.tied]
    yield _tied(best).capitalize(), _names(ties) if ties else "none", ""
    if best.worst_class is not None:
        attack, found = best.worst_class
        where = _place(summary, condition, attack, found.split)
        yield "Worst class", f"{interval(found.value)} % recall", f"under {where}"
    if best.backdoor is not None:
        state = "one gets in" if best.backdoor.is_in else "none gets in"
        success, floor = percent(best.backdoor.success), percent(best.backdoor.floor)
        yield "Backdoors", state, f"success {success} %, floor {floor} %"
    if best.loss is not None:
        where = f"{on_splits(summary.splits_of(condition))}, {count(best.loss.seeds, 'seed')}"
        note = f"against {reference(summary, condition)}, nobody hostile; {where}"
        yield "Lost without attack", f"{points(best.loss)} points", note
    if best.cost is not None:
        note = f"median of {count(best.cost.runs, 'run')}"
        yield "Cost", f"{duration(best.cost.seconds)} per round", note
    if len(standings) > 1:
        last = standings[-1]
        let_in = last.backdoor is not None and last.backdoor.is_in
        text = f"{last.defense}: {percent(last.worst.mean)} %"
        yield "Worst choice", text, "lets a backdoor in" if let_in else ""


def _place(summary: Summary, condition: Condition, attack: str, split: str) -> str:
    """Return the attack, and the split where there are several."""
    several = len(summary.splits_of(condition)) > 1
    return f"{_named(attack)} on {split}" if several else _named(attack)


def _named(attack: str) -> str:
    return "no attack" if attack == NO_ATTACK else attack


def _not_ranked(summary: Summary, condition: Condition) -> str:
    found = unranked(summary, condition)
    if not found:
        return ""

    def places(pairs: Collection[tuple[str, str]]) -> str:
        names = [_place(summary, condition, *pair) for pair in pairs]
        more = len(names) - _MOST_NAMES
        return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")

    items = "".join(
        f"<li><b>{escape(item.defense)}</b>: {escape(_reason(item, places))}</li>" for item in found
    )
    shown = " open" if len(found) in {len(summary.defenses), 1} else ""
    return (
        f"<details{shown}><summary>Not ranked: {len(found)} of {len(summary.defenses)}</summary>"
        f"<ul>{items}</ul></details>"
    )


def _reason(item: Unranked, places: Callable[[Collection[tuple[str, str]]], str]) -> str:
    """Return what a defense lacks for a rank."""
    parts = [f"{item.done} of {item.planned} runs done"] if item.planned else []
    for runs, words in ((item.failed, "failed"), (item.missing, "not done yet")):
        if runs:
            where = f" ({places(runs)})" if len(runs) < item.pairs else ""
            parts.append(f"{sum(runs.values())} {words}{where}")
    if item.unplanned:
        parts.append(f"not in the grid, or with fewer seeds: {places(item.unplanned)}")
    return "; ".join(parts)


def _when(condition: Condition) -> str:
    differ = condition.attackers != condition.byzantine
    assumed = f"f assumed {condition.byzantine}"
    assumed = f'<span class="differ">{assumed}</span>' if differ else assumed
    hostile = f"{condition.attackers} of {condition.clients} clients hostile"
    return f'<p class="when">{hostile}, {assumed}</p>'


def _spread(standing: Standing) -> str:
    half = standing.worst.half
    return "" if half is None else f"<span>± {percent(half)}</span>"


def _tied(best: Standing) -> str:
    """Return what a tie is: few seeds cannot tell whether a difference is one."""
    return "tied with" if best.worst.seeds >= FEWEST_SEEDS else f"within {100 * SAME:.0f} point"


def _names(standings: Sequence[Standing]) -> str:
    return ", ".join(f"{item.defense} ({percent(item.worst.mean)})" for item in standings)


def _by_split(summary: Summary, condition: Condition) -> str:
    splits = summary.splits_of(condition)
    standings = {split: rank(summary, condition, (split,)) for split in splits}
    if len(splits) < 2 or not any(standings.values()):  # noqa: PLR2004 - one split is the whole
        return ""
    items = "".join(
        f"<li>{_on_split(summary, condition, split, found)}</li>"
        for split, found in standings.items()
    )
    shown = " open" if len(splits) <= _MOST_NAMES else ""
    return f"<details{shown}><summary>On each split</summary><ul>{items}</ul></details>"


def _on_split(
    summary: Summary, condition: Condition, split: str, standings: Sequence[Standing]
) -> str:
    if not standings:
        return f"{escape(split)}: no defense is ranked"
    left_out = len(unranked(summary, condition, (split,)))
    ending = f"; {left_out} of {len(summary.defenses)} not ranked" if left_out else ""
    best, ties = standings[0], [item for item in standings[1:] if item.tied]
    tied = f"; {_tied(best)} {_names(ties)}" if ties else ""
    return (
        f"{escape(split)}: <b>{escape(best.defense)}</b>, {interval(best.worst)} % "
        f"under {escape(_named(best.attack))}{escape(tied)}{ending}"
    )
