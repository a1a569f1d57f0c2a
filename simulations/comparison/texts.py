"""Numbers and names as the page and the figures print them."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.breakdown import Breakdown
    from quickthorn.simulations.comparison.summary import Condition, Estimate

_MILLISECOND = 1e-3
_MOST_SPLITS = 4  # more are counted


def percent(value: float) -> str:
    """Return a share in percent with one digit.

    >>> percent(0.9514)
    '95.1'
    """
    return f"{100 * value:.1f}"


def interval(value: Estimate) -> str:
    """Return ``95.1 ± 0.6``, or the mean alone where there is no interval."""
    return percent(value.mean) + ("" if value.half is None else f" ± {percent(value.half)}")


def points(value: Estimate) -> str:
    """Return a difference in points, with its sign."""
    text = f"{100 * value.mean:+.1f}".replace("-", "−")
    # Rounded to nothing, a sign would claim a direction.
    text = "0.0" if text[1:] == "0.0" else text
    return text + ("" if value.half is None else f" ± {percent(value.half)}")


def duration(seconds: float) -> str:
    """Return a time per round in the unit that suits it.

    >>> duration(0.0123), duration(0.0004), duration(2.5)
    ('12 ms', '0.4 ms', '2.5 s')
    """
    if seconds < _MILLISECOND * 10:
        return f"{1000 * seconds:.1f} ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def on_splits(splits: Sequence[str]) -> str:
    """Return on which splits a figure was taken.

    >>> on_splits(["iid"]), on_splits(["iid", "shards"]), on_splits([str(n) for n in range(9)])
    ('on iid', 'mean over iid and shards', 'mean over 9 splits')
    """
    if len(splits) == 1:
        return f"on {splits[0]}"
    if len(splits) > _MOST_SPLITS:
        return f"mean over {len(splits)} splits"
    return f"mean over {', '.join(splits[:-1])} and {splits[-1]}"


def condition_name(condition: Condition) -> str:
    """Return how many are hostile and how many the defense assumes."""
    if not condition.attackers:
        return f"{condition.clients} clients, no attack, f assumed {condition.byzantine}"
    return f"{condition.attackers} of {condition.clients} hostile, f assumed {condition.byzantine}"


def breakable(name: str) -> str:
    """Return a name as HTML that may break after its signs; on a narrow screen, after all.

    >>> breakable("arc | trimmed_mean")
    'arc |<wbr> trimmed_<wbr class="narrow">mean'
    """
    text = re.sub(r"([_=(])", r'\1<wbr class="narrow">', escape(name))
    return re.sub(r"([|,])", r"\1<wbr>", text)


def breakdown_text(found: Breakdown | None) -> str:
    """Return f* with what ended it: the defense, its runs, or (``≥ 6``) only the grid.

    >>> from quickthorn.simulations.comparison.breakdown import Breakdown
    >>> breakdown_text(Breakdown(2, 4)), breakdown_text(Breakdown(2, 4, failed=True))
    ('2, breaks at 4', '2, failed at 4')
    """
    if found is None:
        return "–"
    if found.broken is None:
        return f"≥ {found.attackers}"
    return f"{found.attackers}, {'failed' if found.failed else 'breaks'} at {found.broken}"
