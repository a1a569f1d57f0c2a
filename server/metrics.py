"""Combine what clients claim about themselves so that one liar moves it little."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from statistics import median, median_low
from typing import TYPE_CHECKING

from quickthorn.server.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# This many of a client's surplus metrics are named, the rest counted.
NAMED_SURPLUS = 20


def combine_metrics(
    claims: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, float], dict[str, tuple[str, ...]]]:
    """Take the median, over clients, of every metric that more than half of them report.

    Parameters
    ----------
    claims
        Client id to its finite scalars.

    Returns
    -------
    tuple
        Metric to median, and client id to the names that were set aside because too few
        others report them.

    Example
    -------
    >>> combine_metrics({"a": {"loss": 0.2}, "b": {"loss": 0.3}, "c": {"loss": -1e9, "x": 1.0}})
    ({'loss': 0.2}, {'c': ('surplus metric x',)})

    """
    reported = Counter(name for metrics in claims.values() for name in metrics)
    common = sorted(name for name, times in reported.items() if 2 * times > len(claims))
    combined = {
        name: _middle([metrics[name] for metrics in claims.values() if name in metrics])
        for name in common
    }
    surplus = {
        client: sorted(metrics.keys() - combined.keys()) for client, metrics in claims.items()
    }
    return combined, {client: _noted(names) for client, names in surplus.items() if names}


def _middle(values: Sequence[float]) -> float:
    middle = median(values)
    return middle if isfinite(middle) else median_low(values)  # the sum of two can overflow


def _noted(names: Sequence[str]) -> tuple[str, ...]:
    notes = tuple(f"surplus metric {printable(name, 40)}" for name in names[:NAMED_SURPLUS])
    more = len(names) - NAMED_SURPLUS
    return (*notes, f"and {more} more surplus metrics") if more > 0 else notes
