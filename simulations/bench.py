"""What a rule costs, beside what a user would pick instead; measured in one run, interleaved.

For each cohort (n clients, d parameters) the same random float32 updates go to our rule, to
Flower's own strategy of the same name (as replies, the form that it takes) and to the numpy
expression that a user would write. The yardstick is one pass over the matrix (its sum).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.contestants import EXPRESSIONS, as_replies, flowers, run_flower
from quickthorn.simulations.memory import available, growth
from quickthorn.simulations.subjects import most_liars, subject
from quickthorn.strategies.errors import QuickthornError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from quickthorn.simulations.contestants import Replies
    from quickthorn.strategies.updates import Array

    _Contestant = Callable[["_Cohort"], object]

# A contestant that takes longer than this is measured once and not again.
_PATIENCE_SECONDS = 5.0
# Where all contestants together take less than this, each is measured so many times as often.
_QUICK_SECONDS = 0.3
_QUICK_TIMES = 5
# One that would take longer than this, or more than this share of the free memory, is left out.
_LIMIT_SECONDS = 120.0
_LIMIT_MEMORY = 0.9
# What a large cohort would cost is foreseen from a part of its columns with so many elements.
_PART_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class Line:
    """One rule on one cohort.

    Attributes
    ----------
    rule, clients, size, byzantine
        What was measured: the defense or the scorer, n, d and f.
    seconds
        Median time of our rule; None where it was left out.
    read_seconds
        Of one pass over the matrix; None with it.
    flower_seconds, numpy_seconds
        Of the alternatives; None where there is none, or it was left out.
    extra_bytes
        By how much the resident memory grew at most in one more run, the result included.
    left_out
        What was left out, and why.

    """

    rule: str
    clients: int
    size: int
    byzantine: int
    seconds: float | None = None
    read_seconds: float | None = None
    flower_seconds: float | None = None
    numpy_seconds: float | None = None
    extra_bytes: int | None = None
    left_out: tuple[str, ...] = ()

    @property
    def payload(self) -> int:
        """Return the bytes of the matrix."""
        return 4 * self.clients * self.size


def measure(
    clients: Sequence[int], sizes: Sequence[int], repetitions: int, rules: Sequence[str]
) -> Iterator[Line]:
    """Yield one line per rule and cohort, as they are measured.

    Parameters
    ----------
    clients, sizes
        The n and the d to combine.
    repetitions
        How often each contestant is timed; the median counts. One that takes more than 5
        seconds is timed once, and one that would take 2 minutes is left out.
    rules
        Defenses and scorers.

    """
    for n in clients:
        for size in sizes:
            cohort = _Cohort(np.random.default_rng(0).standard_normal((n, size), np.float32))
            # Flower's come first: the replies, as large as the matrix, are then let go.
            for rule in sorted(rules, key=lambda rule: flowers(rule, n, 0) is None):
                if flowers(rule, n, 0) is None:
                    vars(cohort).pop("replies", None)
                yield _measure_rule(rule, cohort, repetitions)


class _Cohort:
    """The updates of one cohort, in every form that a contestant takes."""

    def __init__(self, values: Array) -> None:
        self.values = values

    @cached_property
    def replies(self) -> Replies:
        return as_replies(self.values)

    @cached_property
    def part(self) -> _Cohort:
        """The first columns as a cohort of its own, or all where they are few."""
        n, size = self.values.shape
        width = max(size // 64, _PART_ELEMENTS // n)
        return self if width >= size else _Cohort(np.array(self.values[:, :width]))


def _measure_rule(rule: str, cohort: _Cohort, repetitions: int) -> Line:
    n, size = cohort.values.shape
    byzantine = most_liars(rule, n)
    if byzantine is None:
        return Line(rule, n, size, 0, left_out=(f"{rule} is not for so many clients",))
    contestants = _contestants(rule, n, byzantine)
    left_out = []
    for name, run in list(contestants.items()):
        reason = _too_much(run, cohort, replies=name == "Flower's")
        if reason:
            left_out.append(f"{name} {rule}: {reason}")
            del contestants[name]
    line = Line(rule, n, size, byzantine, left_out=tuple(left_out))
    if "our" not in contestants:
        return line
    times = _interleaved(contestants | {"read": _read}, cohort, repetitions)
    users = [times[name] for name in EXPRESSIONS.get(rule, {}) if name in times]
    return replace(
        line,
        seconds=times["our"],
        read_seconds=times["read"],
        flower_seconds=times.get("Flower's"),
        numpy_seconds=min(users, default=None),
        extra_bytes=growth(partial(contestants["our"], cohort)),
    )


def _contestants(rule: str, n: int, byzantine: int) -> dict[str, _Contestant]:
    """Return what runs the rule: our own, Flower's and those that a user would write."""
    run = subject(rule, byzantine)
    contestants: dict[str, _Contestant] = {"our": lambda cohort: run(cohort.values)}
    strategy = flowers(rule, n, byzantine)
    if strategy is not None:
        contestants["Flower's"] = lambda cohort: run_flower(strategy, cohort.replies)
    for name, expression in EXPRESSIONS.get(rule, {}).items():
        contestants[name] = partial(_run_expression, expression, byzantine)
    return contestants


def _read(cohort: _Cohort) -> object:
    return cohort.values.sum()


def _run_expression(
    expression: Callable[[Array, int], object], byzantine: int, cohort: _Cohort
) -> object:
    return expression(cohort.values, byzantine)


def _too_much(run: _Contestant, cohort: _Cohort, *, replies: bool) -> str:
    """Foresee from a part of the columns why the whole would be too much; empty if it is not.

    The first run compiles, imports and makes the forms that the contestant takes.
    """
    part = cohort.part
    try:
        run(part)
    except QuickthornError as error:  # a search that is bounded, say
        return str(error)
    if part is cohort:
        return ""
    times = cohort.values.shape[1] / part.values.shape[1]
    started = time.perf_counter()
    memory = times * growth(lambda: run(part))
    seconds = times * (time.perf_counter() - started)
    if seconds > _LIMIT_SECONDS:
        return f"would take about {seconds / 60:.0f} minutes"
    if replies and "replies" not in vars(cohort):
        memory += cohort.values.nbytes
    free = available()
    if free is not None and memory > _LIMIT_MEMORY * free:
        return f"would take about {memory / 1e9:.0f} GB more, {free / 1e9:.0f} GB are free"
    return ""


def _interleaved(
    contestants: dict[str, _Contestant], cohort: _Cohort, repetitions: int
) -> dict[str, float]:
    """Time the contestants in turn, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in contestants}

    def play() -> None:
        for name, run in contestants.items():
            if times[name] and times[name][0] > _PATIENCE_SECONDS:
                continue
            started = time.perf_counter()
            run(cohort)
            times[name].append(time.perf_counter() - started)

    play()
    quick = sum(taken[0] for taken in times.values()) < _QUICK_SECONDS
    for _ in range(repetitions * _QUICK_TIMES if quick else repetitions - 1):
        play()
    return {name: statistics.median(taken) for name, taken in times.items()}
