"""Run a scenario in this process: no Ray, no messages, the same bits for the same scenario."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from threadpoolctl import threadpool_limits

from quickthorn.server.digest import digest
from quickthorn.simulations.examiner import Examiner
from quickthorn.simulations.members import Members
from quickthorn.simulations.record import SimulationRecord
from quickthorn.simulations.refusals import refuse_futile
from quickthorn.simulations.rounds import run_rounds
from quickthorn.simulations.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quickthorn.simulations.record import Evaluation
    from quickthorn.simulations.rounds import After
    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.tally import Tally
    from quickthorn.simulations.trainer import Model

    Runner = Callable[[Members, Stopwatch, After], tuple[Model, Tally]]
    # (rounds done, rounds in all, the last accuracy or None)
    Progress = Callable[[int, int, float | None], None]

_KEPT_FLOORS = 8
_FEW_CLIENTS = 64


def simulate(scenario: Scenario, progress: Progress | None = None) -> SimulationRecord:
    """Run one federation in this process.

    Parameters
    ----------
    scenario
        What to run.
    progress
        Called after each round with the rounds that are done, the rounds in all and the last
        accuracy. With a backdoor, the rounds include those of the same scenario without it,
        which are run for ``attack_success_floor`` unless this process has just done so.

    Returns
    -------
    SimulationRecord
        The same for the same scenario, except for its seconds.

    Raises
    ------
    TooFewClientsError, ConfigurationError
        If the defense or the attack would never have its turn, see ``refuse_futile``.
    ConfigurationError
        If the data cannot be loaded or dealt so, or the model does not suit them.

    Example
    -------
    >>> from quickthorn.simulations.scenario import Scenario
    >>> record = simulate(Scenario(dataset="breast_cancer", clients=5, rounds=2, lr=0.5))
    >>> len(record.accuracy), record.final > 0.9
    (2, True)

    """
    refuse_futile(scenario)
    watch = Stopwatch()
    with watch("total"), _threads(scenario):
        members = Members(scenario, watch)
        examiner = Examiner(scenario, members.model)
        floored = examiner.triggered is not None
        clean = _without_attack(scenario)
        total = scenario.rounds * (2 if floored and clean not in _FLOORS else 1)
        evaluations: list[Evaluation] = []

        def after(number: int, state: Model) -> None:
            if number % scenario.eval_every == 0 or number == scenario.rounds:
                with watch("evaluate"):
                    evaluations.append(examiner.look(number, state))
            if progress:
                progress(number, total, evaluations[-1].accuracy if evaluations else None)

        state, tally = _runner(scenario)(members, watch, after)
        floor = None
        if floored:
            with watch("floor"):
                floor = examiner.success(_unattacked(clean, progress, scenario.rounds))
    return SimulationRecord(
        scenario,
        tuple(evaluations),
        attack_success_floor=floor,
        scores={client: sum(z) / len(z) for client, z in sorted(tally.anomalies.items())},
        hostile=scenario.hostile,
        verdicts=dict(sorted(tally.verdicts.items())),
        unchanged_rounds=tally.unchanged,
        trails=tally.trails(scenario.rounds),
        changes=tuple(tally.changes),
        unforged_rounds=members.unforged,
        seconds=watch.seconds,
        model_digest=digest(state),
    )


def _runner(scenario: Scenario) -> Runner:
    if scenario.strategy == "engine":
        return run_rounds
    # Imported here: Flower takes seconds, and the engine does without it.
    from quickthorn.simulations.flower_rounds import run_rounds_on_flower  # noqa: PLC0415 - above

    return run_rounds_on_flower


_FLOORS: dict[Scenario, Model] = {}


def _without_attack(scenario: Scenario) -> Scenario:
    """Return the scenario that ``attack_success_floor`` is measured on."""
    return dataclasses.replace(
        scenario,
        attack="none",
        attack_start=1,
        attack_every=1,
        quarantine=False,
        eval_every=1,
        strategy="engine",
    )


def _unattacked(clean: Scenario, progress: Progress | None, done: int) -> Model:
    """Return the final model of ``clean``; the last few are kept."""
    if clean not in _FLOORS:

        def after(number: int, _: Model) -> None:
            if progress:
                progress(done + number, done + clean.rounds, None)

        watch = Stopwatch()
        model, _ = run_rounds(Members(clean, watch), watch, after)
        while len(_FLOORS) >= _KEPT_FLOORS:
            del _FLOORS[next(iter(_FLOORS))]
        _FLOORS[clean] = model
    return _FLOORS[clean]


@contextmanager
def _threads(scenario: Scenario) -> Iterator[None]:
    """Let torch, and for few clients BLAS, use one thread.

    With one thread torch repeats to the bit, and small models train faster. The products of a
    few rows are done before a second thread has woken up; where other processes are at work,
    waiting for it takes a hundred times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    few = scenario.clients <= _FEW_CLIENTS
    try:
        with threadpool_limits(1 if few else None, "blas"):
            yield
    finally:
        torch.set_num_threads(threads)
