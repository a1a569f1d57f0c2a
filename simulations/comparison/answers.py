"""The top of the page: which defense to take, under which condition, and on what evidence."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.ranking import rank
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS
from quickthorn.simulations.comparison.texts import duration, interval, percent, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.backdoors import Backdoor
    from quickthorn.simulations.comparison.ranking import Standing
    from quickthorn.simulations.comparison.summary import Condition, Summary


def answers(summary: Summary) -> str:
    """Return the section at the top: which defense to take, and on what evidence."""
    cards = "".join(_card(summary, condition) for condition in summary.conditions)
    return (
        '<section aria-labelledby="answer"><h2 id="answer">Which defense should I take?</h2>'
        f'<p class="lead">{_in_one_line(summary)}</p>'
        '<p class="soft">The one with the best worst case over every attack and every division '
        "of the data in this grid; one that lets a backdoor in stands behind all that let none in. "
        f"{_confidence(summary)}</p>"
        f'<div class="cards">{cards}</div></section>'
    )


def _in_one_line(summary: Summary) -> str:
    """Return the answer, with how often it is the answer."""
    standings = [found for item in summary.conditions if (found := rank(summary, item))]
    if not standings:
        return "The grid is not far enough for an answer."
    # Who is first, or tied with the first, under the most conditions; ties by the order there.
    good = Counter(item.defense for found in standings for item in found if _is_good(item, found))
    best = max(good, key=lambda name: good[name])
    lowest = min(
        item.worst.mean
        for found in standings
        for item in found
        if item.defense == best and _is_good(item, found)
    )
    often = ""
    if len(standings) > 1:
        every = good[best] == len(standings)
        often = " under all conditions" if every else f" under {good[best]} of {len(standings)}"
        often += "" if every else " conditions"
    return (
        f"<b>{escape(best)}</b>: nothing in this grid{_among(standings, best)} has a better worst "
        f"case{often} (accuracy of at least {percent(lowest)} %).{_let_in(standings)}"
    )


def _among(standings: Sequence[Sequence[Standing]], best: str) -> str:
    """Return what the comparison is restricted to: accuracy does not show a backdoor."""
    own = [
        item.backdoor.is_in
        for found in standings
        for item in found
        if item.defense == best and item.backdoor is not None and _is_good(item, found)
    ]
    return " that lets no backdoor in" if own and not all(own) else ""


def _let_in(standings: Sequence[Sequence[Standing]]) -> str:
    """Return a warning where every defense lets a backdoor in."""
    firsts = [found[0].backdoor for found in standings]
    bad = sum(first is not None and first.is_in for first in firsts)
    if not bad:
        return ""
    where = f" under {bad} of {len(firsts)} conditions" if bad < len(firsts) else ""
    return f" <b>But every defense lets a backdoor in{where}.</b>"


def _is_good(item: Standing, standings: Sequence[Standing]) -> bool:
    return item.tied or item is standings[0]


def _confidence(summary: Summary) -> str:
    seeds = max((len(cell.by_seed) for cell in summary.cells.values()), default=0)
    if seeds < FEWEST_SEEDS:
        return "One number per cell: too few seeds for an interval."
    return f"± is the 95 % t-interval over {seeds} seeds."


def _card(summary: Summary, condition: Condition) -> str:
    standings = rank(summary, condition)
    if not standings:
        words = "No defense has a result under every attack yet."
        return f'<article class="card">{_when(condition)}<p>{words}</p></article>'
    best = standings[0]
    ties = [standing for standing in standings[1:] if standing.tied]
    facts = [("Tied with", _names(ties) if ties else "none")]
    if best.backdoor is not None:
        facts.append(("Backdoors", _backdoor(best.backdoor)))
    if best.loss is not None:
        facts.append(("Lost without attack", f"{points(best.loss)} points"))
    facts.append(("Cost", f"{duration(best.seconds)} per round"))
    if len(standings) > 1:
        facts.append(("Worst choice", _last(standings[-1])))
    items = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    where = f" on {best.split}" if len(summary.splits_of(condition)) > 1 else ""
    return (
        f'<article class="card">{_when(condition)}'
        f'<p class="take">Take {escape(best.defense)}</p>'
        f'<p class="score"><b>{percent(best.worst.mean)} %</b>{_spread(best)}</p>'
        f'<p class="why">accuracy in the worst case: {escape(best.attack)}{escape(where)}</p>'
        f"<dl>{items}</dl>{_by_split(summary, condition)}</article>"
    )


def _backdoor(found: Backdoor) -> str:
    state = "one gets in" if found.is_in else "none gets in"
    return f"{state} ({percent(found.success)} %, floor {percent(found.floor)} %)"


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
