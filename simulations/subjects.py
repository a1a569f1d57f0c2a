"""The rules that the benchmark runs, each as a function of nothing but the updates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies import UpdateMatrix, available, build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.facts import Facts
from quickthorn.strategies.kernels.mapped import by_blocks
from quickthorn.strategies.registry import SCORERS, find
from quickthorn.strategies.scoring import score_updates
from quickthorn.strategies.updates import ModelLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quickthorn.strategies.updates import Array

# The search for the subset of smallest diameter among more clients may not end.
_MOST_CLIENTS = {"mda": 32}
_COMMA = re.compile(r",(?![^(]*\))")  # none between parameters
_PIPELINES = ("nnm | trimmed_mean", "clip | median", "bucketing | krum")
# Every signal at once, alone and after a rule, with which it shares what both compute.
_TOGETHER = "all scorers"
_AFTER = f" & {_TOGETHER}"
_ROUNDS = tuple(rule + _AFTER for rule in ("median", "krum", "nnm | trimmed_mean"))


def all_rules() -> tuple[str, ...]:
    """Return every aggregator, some pipelines and every scorer of updates, alone and together."""
    alone = [name for name in SCORERS if "held" not in find("scorer", name).supplied]
    return (*available()["aggregator"], *_PIPELINES, *alone, _TOGETHER, *_ROUNDS)


def read_rules(text: str) -> tuple[str, ...]:
    """Return the defenses and scorers that a text names, separated by commas.

    ``all scorers`` stands for all of them, and ``krum & all scorers`` for a round with both.

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
    return tuple(map(_read, parts))


def _read(part: str) -> str:
    if part in {*SCORERS, _TOGETHER}:
        return part
    rule = part.removesuffix(_AFTER)
    return str(build(rule, byzantine=0)) + part[len(rule) :]


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
    scorers, defense = _parts(rule)
    least = max((find("scorer", name).min_clients(byzantine) for name in scorers), default=1)
    try:
        return max(least, build(defense, byzantine=byzantine).min_clients) if defense else least
    except ConfigurationError:
        return None


def _parts(rule: str) -> tuple[Sequence[str], str]:
    """Return the scorers of a subject and its defense, or an empty text."""
    if rule in SCORERS:
        return [rule], ""
    if rule == _TOGETHER:
        return SCORERS, ""
    defense = rule.removesuffix(_AFTER)
    return SCORERS if defense != rule else [], defense


def subject(rule: str, byzantine: int) -> Callable[[Array], object]:
    """Return what runs a defense, scorers or both on (n, d) updates, with what they ask for."""
    scorers, text = _parts(rule)
    defense = build(text, byzantine=byzantine) if text else None

    def run(values: Array) -> object:
        matrix = UpdateMatrix(values, client_names(len(values)))
        layout = _layout(values)
        known = Facts(by_blocks(matrix.values), layout)
        found: list[object] = []
        if defense is not None:
            weights = np.full(len(values), 100.0) if defense.needs_weights else None
            trusted = np.array(values[0]) if defense.needs_trusted else None
            found.append(defense.aggregate(matrix, weights=weights, trusted=trusted, known=known))
        if scorers:
            influence = dict.fromkeys(matrix.clients, 1.0)
            scores = score_updates(
                matrix,
                byzantine=byzantine,
                scorers=scorers,
                influence=influence,
                known=known,
            )
            found.append(scores)
        return found

    return run


def _layout(values: Array) -> ModelLayout:
    """Return a layout of nine tenths and one tenth of the columns."""
    columns = np.broadcast_to(values[0, 0], values.shape[1])  # no memory
    last = len(columns) // 10
    parts = {"body": columns[last:], "head": columns[:last]} if last else {"body": columns}
    return ModelLayout.of(parts)


def client_names(n: int) -> tuple[str, ...]:
    """Return n client ids in ascending order."""
    return tuple(f"{row:09}" for row in range(n))
