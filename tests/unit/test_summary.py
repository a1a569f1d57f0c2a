"""What a person reads at the end of a simulation, of records made by hand."""

from __future__ import annotations

import io

from rich.console import Console

from quickthorn.simulations import Scenario, SimulationRecord
from quickthorn.simulations.record import Evaluation, Trail
from quickthorn.simulations.summary import print_summary
from quickthorn.strategies.reputation import Change


def summary(*moves: tuple[int, int, str, str], **keys: object) -> list[str]:
    """Return the lines of twelve clients, the last two hostile, the first the most suspicious."""
    scenario = Scenario.from_table({"clients": 12, "attackers": 2, "rounds": 30, **keys})
    states = dict.fromkeys(scenario.client_ids, "healthy")
    changes = []
    for client, number, before, after in moves:
        name = scenario.client_ids[client]
        changes.append(Change(name, number, before, after, "quickthorn", "why"))
        states[name] = after
    trails = {
        name: Trail(state, {30: 0.5}, {30: -rank})
        for rank, (name, state) in enumerate(states.items())
    }
    record = SimulationRecord(
        scenario,
        (Evaluation(30, 0.5, (0.5,) * 10),),
        hostile=scenario.hostile,
        trails=trails,
        changes=tuple(changes),
    )
    out = io.StringIO()
    print_summary(record, Console(file=out, width=80))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_every_client_whose_standing_changed_is_told_from_which_round_on() -> None:
    lines = summary(
        (0, 3, "probation", "healthy"),
        (9, 2, "probation", "watch"),
        (10, 2, "probation", "watch"),
        (11, 4, "probation", "watch"),
        (10, 3, "watch", "quarantined"),
        (9, 9, "watch", "healthy"),
        (11, 9, "watch", "quarantined"),
        (10, 23, "quarantined", "quarantined"),
        (11, 29, "quarantined", "watch"),
    )
    assert "quarantined 2 2 of 2 hostile, 0 honest; 1 let back" in lines
    assert "client-00 0.500 healthy 3 0 0" in lines
    assert "client-01 0.500 healthy 0 0" in lines
    assert "client-09 0.500 watch 2, healthy 9 0 0" in lines
    assert "client-10 * 0.500 watch 2, quarantined 3 0 0" in lines
    assert "client-11 * 0.500 watch 4, quarantined 9, watch 29 0 0" in lines
    assert "… 1 more 1 healthy" in lines


def test_whom_the_list_does_not_name_is_counted_by_state() -> None:
    lines = summary((11, 3, "probation", "healthy"), (10, 1, "healthy", "probation"))
    assert "… 4 more, 2 hostile 3 healthy, 1 probation" in lines


def test_seconds_that_are_not_told_apart_are_said_to_be_so() -> None:
    engine, flower = (summary(strategy=strategy) for strategy in ("engine", "flower"))
    assert "time 0.0 s 0 ms per round" in engine
    assert "time 0.0 s 0 ms per round; not told apart by stage" in flower
