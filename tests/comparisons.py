"""Results of runs that never ran, for the tests of what is made from results."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.comparison.folder import Outcome
from quickthorn.simulations.comparison.plan import plan
from quickthorn.simulations.comparison.results import Result
from quickthorn.simulations.comparison.summary import Summary, summarize
from quickthorn.simulations.record import Evaluation, SimulationRecord, Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from quickthorn.simulations.scenario import Scenario


ROOT = Path(__file__).parents[1]
ATTACKS = ["none", "sign_flip", "gaussian"]
FINALS = {"mean": 0.4, "median": 0.8, "krum": 0.7}
GRID: dict[str, Any] = {
    "defense": ["mean", "median", "krum"],
    "attack": ["none", "sign_flip", "gaussian"],
    "attackers": [2, 4],
    "byzantine": 4,
    "split": ["iid", "shards"],
    "seed": [0, 1, 2],
}


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


def mixed(scenario: Scenario) -> SimulationRecord | str | None:
    """Let krum fail under gaussian noise by 4, one of them unfinished; sign_flip is a backdoor."""
    if (scenario.defense, scenario.attack, scenario.attackers) == ("krum", "gaussian", 4):
        return None if scenario.seed == 2 else "ValueError: <b>no</b> such thing"
    final = FINALS[scenario.defense] + 0.01 * scenario.seed
    if scenario.attack == "none":
        return record(scenario, 0.95)
    if scenario.attack == "sign_flip":
        return record(scenario, final, 0.33, attack_success_floor=0.02)
    return record(scenario, final)


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
    grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    make: Callable[[Scenario], SimulationRecord | str | None],
    **scenario: object,
) -> tuple[Result, ...]:
    """Return the results of a grid, or of several.

    ``make`` gives a record, an error, or None if not run.
    """
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


def summary(
    final: Callable[[Scenario], float | None], *, defenses: tuple[str, ...], **grid: object
) -> Summary:
    """Summarize a grid whose runs end at ``final``; None stands for a run that failed."""

    def make(scenario: Scenario) -> SimulationRecord | str:
        value = final(scenario)
        return "ValueError: no" if value is None else record(scenario, value)

    tables = {"defense": list(defenses), "attack": ATTACKS, "attackers": [2], "seed": [0, 1, 2]}
    return summarize(results({**tables, **grid}, make))


def ends_at(scenario: Scenario, *last: float, success: float | None = None) -> SimulationRecord:
    """Return a record with a bad evaluation before the ``last`` ones."""
    evaluations = tuple(
        Evaluation(number, accuracy, (0.97, accuracy), success)
        for number, accuracy in enumerate((0.01, *last), start=1)
    )
    return record(scenario, 0.0, evaluations=evaluations, attack_success_floor=success and 0.125)


def told_and_made(page: Path, main: Callable[[Sequence[str]], None]) -> tuple[str, str]:
    """Return a page of the documentation, and what the command that it tells makes of its runs."""
    told = page.read_text(encoding="utf-8")
    (command,) = re.findall(r"```\n(python.*?)\n```", told, re.DOTALL)
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["python", "-m", main.__module__]
    assert words[-2:] == [">", str(page.relative_to(ROOT))]
    made = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(made):
        main(words[3:-2])
    return told, made.getvalue()
