"""The top of the page: which defense to take, under which condition, and on what evidence."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.breakdown import WITHIN
from quickthorn.simulations.comparison.cards import card
from quickthorn.simulations.comparison.ranking import is_pending, rank, unranked
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS
from quickthorn.simulations.comparison.texts import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.ranking import Standing, Unranked
    from quickthorn.simulations.comparison.summary import Summary

_MOST_NAMES = 4  # a longer list is cut, or only counted


def answers(summary: Summary) -> str:
    """Return the section at the top: which defense to take, and on what evidence."""
    cards = "".join(card(summary, condition) for condition in summary.conditions)
    return (
        '<section aria-labelledby="answer"><h2 id="answer">Which defense should I take?</h2>'
        f'<p class="lead">{_in_one_line(summary)}</p>'
        '<p class="soft">The one with the best worst case over every attack and every division '
        "of the data in this grid; one that lets a backdoor in stands behind all that let none in, "
        "and one with a run that failed or is missing is not ranked. "
        f"{_confidence(summary)}</p>"
        f'<div class="cards">{cards}</div></section>'
    )


def _in_one_line(summary: Summary) -> str:
    """Return the answer, with how often it is the answer."""
    standings = [found for item in summary.conditions if (found := rank(summary, item))]
    if not standings:
        return "No defense is ranked: none has all the runs that its grid asks for."
    # Who is first, or tied with the first, under the most conditions; ties by the order there.
    good = Counter(item.defense for found in standings for item in found if _is_good(item, found))
    best = max(good, key=lambda name: good[name])
    own = [
        item
        for found in standings
        for item in found
        if item.defense == best and _is_good(item, found)
    ]
    lowest = min(item.worst.mean for item in own)
    of = len(summary.conditions)
    better = "a clearly better" if any(item.tied for item in own) else "a better"
    left_out = [unranked(summary, one) for one in summary.conditions]
    begin = "No answer yet, as runs are missing. So far " if any(map(is_pending, left_out)) else ""
    which = "ranked" if any(left_out) else "in this grid"
    every = "ranked defense" if any(left_out) else "defense"
    return (
        f"{begin}<b>{escape(best)}</b>: nothing {which}{_among(own)} has {better} "
        f"worst case{_under(len(own), of)} (accuracy of at least {percent(lowest)} %)."
        f"{_costs(standings, best, of)}{_let_in(standings, every, of)}"
        f"{_left_out(summary, left_out)}"
    )


def _under(count: int, of: int) -> str:
    """Return under how many conditions something is so, where there are several."""
    if of == 1:
        return ""
    return f" under {'all' if count == of else f'{count} of {of}'} conditions"


def _among(own: Sequence[Standing]) -> str:
    """Return what the comparison is restricted to: accuracy does not show a backdoor."""
    let_in = [item.backdoor.is_in for item in own if item.backdoor is not None]
    return " that lets no backdoor in" if let_in and not all(let_in) else ""


def _costs(standings: Sequence[Sequence[Standing]], best: str, of: int) -> str:
    """Return a warning where the answer is the best and not good."""
    bad = sum(item.defense == best and item.is_hurt for found in standings for item in found)
    much = f"more than {100 * WITHIN:.0f} points"
    return f" <b>But an attack takes {much} from it{_under(bad, of)}.</b>" if bad else ""


def _let_in(standings: Sequence[Sequence[Standing]], every: str, of: int) -> str:
    """Return a warning where every defense lets a backdoor in."""
    firsts = [found[0].backdoor for found in standings]
    bad = sum(first is not None and first.is_in for first in firsts)
    return f" <b>Every {every} lets a backdoor in{_under(bad, of)}.</b>" if bad else ""


def _left_out(summary: Summary, left_out: Sequence[Sequence[Unranked]]) -> str:
    """Return which defenses the answer does not speak of; the cards say why."""
    found = [{item.defense for item in items} for items in left_out]
    names = [name for name in summary.defenses if any(name in own for own in found)]
    if not names:
        return ""
    where = "" if all(own == found[0] for own in found) else " under some conditions"
    if len(names) > _MOST_NAMES:
        return f" {len(names)} of {len(summary.defenses)} defenses are not ranked{where}."
    return f" Not ranked{where}: {escape(', '.join(names))}."


def _is_good(item: Standing, standings: Sequence[Standing]) -> bool:
    return item.tied or item is standings[0]


def _confidence(summary: Summary) -> str:
    seeds = {len(cell.by_seed) for cell in summary.cells.values() if cell.by_seed}
    if max(seeds, default=0) < FEWEST_SEEDS:
        return f"Where fewer than {FEWEST_SEEDS} seeds are done, there is no interval."
    if len(seeds) == 1:
        return f"± is the 95 % t-interval over {seeds.pop()} seeds."
    return f"± is the 95 % t-interval over the seeds, and left out for fewer than {FEWEST_SEEDS}."
