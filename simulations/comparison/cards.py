"""A card of the page: the answer under one condition, its evidence, and whom it leaves out."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.questions import reference
from quickthorn.simulations.comparison.ranking import is_pending, rank, unranked
from quickthorn.simulations.comparison.texts import (
    count,
    duration,
    interval,
    on_splits,
    percent,
    points,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from quickthorn.simulations.comparison.backdoors import Backdoor
    from quickthorn.simulations.comparison.ranking import Standing, Unranked
    from quickthorn.simulations.comparison.summary import Condition, Estimate, Summary

_MOST_NAMES = 4  # a longer list is cut


def card(summary: Summary, condition: Condition) -> str:
    """Return the answer for so many hostile clients, or what it lacks."""
    standings = rank(summary, condition)
    if not standings:
        return (
            f'<article class="card">{_when(condition)}{_not_ranked(summary, condition)}</article>'
        )
    best = standings[0]
    ties = [standing for standing in standings[1:] if standing.tied]
    facts = [("Tied with", _names(ties) if ties else "none")]
    if best.backdoor is not None:
        facts.append(("Backdoors", _backdoor(best.backdoor)))
    if best.loss is not None:
        facts.append(("Lost without attack", _loss(summary, condition, best.loss)))
    if best.cost is not None:
        runs = count(best.cost.runs, "run")
        facts.append(("Cost", f"{duration(best.cost.seconds)} per round, median of {runs}"))
    if len(standings) > 1:
        facts.append(("Worst choice", _last(standings[-1])))
    items = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    where = f" on {best.split}" if len(summary.splits_of(condition)) > 1 else ""
    take = "So far" if is_pending(unranked(summary, condition)) else "Take"
    return (
        f'<article class="card">{_when(condition)}'
        f'<p class="take">{take} {escape(best.defense)}</p>'
        f'<p class="score"><b>{percent(best.worst.mean)} %</b>{_spread(best)}</p>'
        f'<p class="why">accuracy in the worst case: {escape(best.attack)}{escape(where)}</p>'
        f"<dl>{items}</dl>{_by_split(summary, condition)}"
        f"{_not_ranked(summary, condition)}</article>"
    )


def _not_ranked(summary: Summary, condition: Condition) -> str:
    found = unranked(summary, condition)
    if not found:
        return ""
    several = len({split for _, split in summary.asked(condition)}) > 1
    items = "".join(
        f"<li><b>{escape(item.defense)}</b>: {escape(_reason(item, several=several))}</li>"
        for item in found
    )
    shown = " open" if len(found) in {len(summary.defenses), 1} else ""
    return (
        f"<details{shown}><summary>Not ranked: {len(found)} of {len(summary.defenses)}</summary>"
        f"<ul>{items}</ul></details>"
    )


def _reason(item: Unranked, *, several: bool) -> str:
    """Return what a defense lacks for a rank."""
    parts = [f"{item.done} of {item.planned} runs done"] if item.planned else []
    for runs, words in ((item.failed, "failed"), (item.missing, "not done yet")):
        if runs:
            parts.append(f"{sum(runs.values())} {words} ({_places(runs, several=several)})")
    if item.unplanned:
        parts.append(f"not in the grid: {_places(item.unplanned, several=several)}")
    return "; ".join(parts)


def _places(pairs: Collection[tuple[str, str]], *, several: bool) -> str:
    names = [f"{attack} on {split}" if several else attack for attack, split in pairs]
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _backdoor(found: Backdoor) -> str:
    state = "one gets in" if found.is_in else "none gets in"
    return f"{state} ({percent(found.success)} %, floor {percent(found.floor)} %)"


def _loss(summary: Summary, condition: Condition, lost: Estimate) -> str:
    where = on_splits(summary.splits_of(condition))
    return (
        f"{points(lost)} points against {reference(summary, condition)}, nobody hostile; "
        f"{where}, {count(lost.seeds, 'seed')}"
    )


def _last(standing: Standing) -> str:
    let_in = standing.backdoor is not None and standing.backdoor.is_in
    words = ", lets a backdoor in" if let_in else ""
    return f"{standing.defense}: {percent(standing.worst.mean)} %{words}"


def _when(condition: Condition) -> str:
    differ = condition.attackers != condition.byzantine
    assumed = f"f assumed {condition.byzantine}"
    assumed = f'<span class="differ">{assumed}</span>' if differ else assumed
    hostile = f"{condition.attackers} of {condition.clients} clients hostile"
    return f'<p class="when">{hostile}, {assumed}</p>'


def _spread(standing: Standing) -> str:
    half = standing.worst.half
    return "" if half is None else f"<span>± {percent(half)}</span>"


def _names(standings: Sequence[Standing]) -> str:
    return ", ".join(f"{item.defense} ({percent(item.worst.mean)})" for item in standings)


def _by_split(summary: Summary, condition: Condition) -> str:
    splits = summary.splits_of(condition)
    if len(splits) < 2:  # noqa: PLR2004 - one split is the whole
        return ""
    items = []
    for split in splits:
        standings = rank(summary, condition, (split,))
        if standings:
            best, ties = standings[0], [item for item in standings[1:] if item.tied]
            tied = f"; tied: {_names(ties)}" if ties else ""
            items.append(
                f"<li>{escape(split)}: <b>{escape(best.defense)}</b>, {interval(best.worst)} % "
                f"under {escape(best.attack)}{escape(tied)}</li>"
            )
    return f"<details><summary>On each split</summary><ul>{''.join(items)}</ul></details>"
