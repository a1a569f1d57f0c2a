"""The rules that the benchmark runs, each as a function of nothing but the updates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies import UpdateMatrix, available, build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.registry import SCORERS, find
from quickthorn.strategies.scoring import score_updates

if TYPE_CHECKING:
    from collections.abc import Callable

    from quickthorn.strategies.updates import Array

# The search for the subset of smallest diameter among more clients may not end.
_MOST_CLIENTS = {"mda": 32}
_COMMA = re.compile(r",(?![^(]*\))")  # none between parameters
_PIPELINES = ("nnm | trimmed_mean", "clip | median", "bucketing | krum")


def all_rules() -> tuple[str, ...]:
    """Return every aggregator, some pipelines and every scorer."""
    return (*available()["aggregator"], *_PIPELINES, *SCORERS)


def read_rules(text: str) -> tuple[str, ...]:
    """Return the defenses and scorers that a text names, separated by commas.

    Raises
    ------
    UnknownNameError, ConfigurationError
        For a rule that does not exist or cannot be read.

    Example
    -------
    >>> read_rules("norm, clip(radius=2.0)|median")
    ('norm', 'clip(radius=2.0) | median')

    """
    parts = filter(None, (part.strip() for part in _COMMA.split(text)))
    return tuple(part if part in SCORERS else str(build(part, byzantine=0)) for part in parts)


def most_liars(rule: str, n: int) -> int | None:
    """Return the most liars, up to a fifth of n, that a rule tolerates; None if n is not for it.

    >>> most_liars("median", 10), most_liars("bulyan", 10), most_liars("bulyan", 2)
    (2, 1, None)
    >>> most_liars("smea", 100) < most_liars("median", 100)
    True
    """
    for byzantine in range(max(1, n // 5), -1, -1):
        least = _least_clients(rule, byzantine)
        if least is not None and least <= n <= _MOST_CLIENTS.get(rule, n):
            return byzantine
    return None


def _least_clients(rule: str, byzantine: int) -> int | None:
    """Return the smallest n for so many liars; None where a rule refuses to search that long."""
    if rule in SCORERS:
        return find("scorer", rule).min_clients(byzantine)
    try:
        return build(rule, byzantine=byzantine).min_clients
    except ConfigurationError:
        return None


def subject(rule: str, byzantine: int) -> Callable[[Array], object]:
    """Return what runs a defense or a scorer on (n, d) updates, with whatever it asks for."""
    if rule in SCORERS:
        return lambda values: score_updates(
            UpdateMatrix(values, client_names(len(values))), byzantine=byzantine, scorers=[rule]
        )
    defense = build(rule, byzantine=byzantine)
    return lambda values: defense.aggregate(
        values,
        weights=np.full(len(values), 100.0) if defense.needs_weights else None,
        trusted=np.array(values[0]) if defense.needs_trusted else None,
    )


def client_names(n: int) -> tuple[str, ...]:
    """Return n client ids in ascending order."""
    return tuple(f"{row:09}" for row in range(n))
