"""Results of runs that never ran, for the tests of what is made from results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quickthorn.simulations.comparison.folder import Outcome
from quickthorn.simulations.comparison.plan import plan
from quickthorn.simulations.comparison.results import Result
from quickthorn.simulations.record import Evaluation, SimulationRecord, Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quickthorn.simulations.scenario import Scenario


def record(
    scenario: Scenario, final: float, attack_success: float | None = None, **changes: object
) -> SimulationRecord:
    """Return a record that ends at ``final``, after a peak of one point more."""
    hostile = scenario.hostile
    values: dict[str, Any] = {
        "scenario": scenario,
        "evaluations": (
            Evaluation(1, final + 0.01, (final, final)),
            Evaluation(2, final, (final, final - 0.1), attack_success),
        ),
        "trails": trails(scenario, dict.fromkeys(hostile, 4.0)),
        "hostile": hostile,
        "seconds": {"train": 1.0, "admit": 0.1, "aggregate": 0.2, "score": 0.1, "total": 2.0},
        "model_digest": "ab" * 32,
    }
    return SimulationRecord(**{**values, **changes})


def trails(scenario: Scenario, strong: Mapping[str, float]) -> dict[str, Trail]:
    """Return trails of all clients, of whom the ``strong`` ones are watched."""
    last = scenario.rounds
    return {
        client: Trail(
            "watch" if client in strong else "healthy", {last: 0.5}, {last: strong.get(client, 1.0)}
        )
        for client in scenario.client_ids
    }


def results(
    grid: Mapping[str, Any],
    make: Callable[[Scenario], SimulationRecord | str | None],
    **scenario: object,
) -> tuple[Result, ...]:
    """Return the results of a grid; ``make`` gives a record, an error, or None if not run."""
    found = []
    for run in plan({"scenario": {"rounds": 2, **scenario}, "grid": grid}):
        made = make(run.scenario)
        outcome = None
        if isinstance(made, str):
            outcome = Outcome(run.id, "failed", made)
        elif made is not None:
            outcome = Outcome(run.id, "done", record=made.to_json())
        found.append(Result(run, outcome))
    return tuple(found)
