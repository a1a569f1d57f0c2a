"""The head of the page: what was run, on which axes, how far it got, and what to beware of."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.ranking import SAME
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from quickthorn.simulations.comparison.results import Result
    from quickthorn.simulations.scenario import Scenario

_SHORT = 100  # characters of an axis that is shown without a click
_BETWEEN = " · "  # text forms have commas of their own


def header(results: Sequence[Result]) -> str:
    """Return the head of the page: every value of every axis, and notices."""
    scenarios = [result.run.scenario for result in results]
    done = sum(result.status == "done" for result in results)
    facts = [
        *(
            (" or ".join(_unique(getattr(item, key) for item in scenarios)), name)
            for key, name in _FACTS.items()
        ),
        (f"{done} of {len(results)}", "runs done"),
    ]
    items = "".join(f"<li><b>{escape(value)}</b> {name}</li>" for value, name in facts)
    axes = "".join(f"<dt>{name}</dt><dd>{_values(values)}</dd>" for name, values in _axes(results))
    notices = "".join(f'<p class="notice">{notice}</p>' for notice in _notices(results))
    return (
        f'<header><h1>Comparison of defenses</h1><ul class="facts">{items}</ul>'
        f'<dl class="axes">{axes}</dl>{notices}</header>'
    )


_FACTS = {"dataset": "data", "model": "model", "clients": "clients", "rounds": "rounds"}


def _axes(results: Sequence[Result]) -> Iterator[tuple[str, list[str]]]:
    """Give every axis of the grid with its values, in the order of the grid."""
    scenarios = [result.run.scenario for result in results]
    # Without an attack nobody is hostile, whatever the axis says.
    attacked = [item for item in scenarios if item.attack != NO_ATTACK] or scenarios
    yield "Defenses", _unique(item.defense for item in scenarios)
    yield "Attacks", _unique(item.attack for item in scenarios)
    yield "Splits", _unique(result.run.split for result in results)
    yield "Hostile clients", _unique(item.attackers for item in attacked)
    yield "Assumed (f)", _assumed(attacked)
    yield "Seeds", _unique(item.seed for item in scenarios)


def _assumed(scenarios: Sequence[Scenario]) -> list[str]:
    if all(item.byzantine == item.attackers for item in scenarios):
        return ["as many as are hostile"]
    return _unique(item.byzantine for item in scenarios)


def _unique(values: Iterable[object]) -> list[str]:
    return [str(value) for value in dict.fromkeys(values)]


def _values(values: Sequence[str]) -> str:
    text = _BETWEEN.join(values)
    if len(text) <= _SHORT:
        return escape(text)
    items = "".join(f"<li>{escape(value)}</li>" for value in values)
    return f"<details><summary>{len(values)}</summary><ul>{items}</ul></details>"


def _notices(results: Sequence[Result]) -> Iterator[str]:
    counts = Counter(result.status for result in results)
    if lost := counts["failed"] + counts["interrupted"]:
        yield (
            f"{lost} {_runs(lost)} failed and {'is' if lost == 1 else 'are'} in no figure below: "
            f'<a href="#failures">see why</a>.'
        )
    if left := counts["not run"]:
        yield f"{left} {_runs(left)} not done yet; the same command goes on with them."
    yield from _mixture(results)
    if len({result.run.scenario.seed for result in results}) < FEWEST_SEEDS:
        yield (
            f"Fewer than {FEWEST_SEEDS} seeds: there are no confidence intervals, and a difference "
            f"below {100 * SAME:.0f} point is called a tie."
        )


def _mixture(results: Sequence[Result]) -> list[str]:
    """Return a notice for each package of which the runs had several versions."""
    known = [item.outcome.versions for item in results if item.outcome is not None]
    names = sorted({name for versions in known for name in versions})
    found = {name: sorted({had[name] for had in known if name in had}) for name in names}
    return [
        f"The runs were made with {name} {escape(' and '.join(had))}: their bits may differ."
        for name, had in found.items()
        if len(had) > 1
    ]


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"
