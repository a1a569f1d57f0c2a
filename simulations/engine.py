"""Run a scenario in this process: no Ray, no messages, the same bits for the same scenario.

The members are simulated; what judges, scores and aggregates their updates is the code of the
deployment: ``server.judgement`` and ``strategies.round``.
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from quickthorn.server.digest import digest
from quickthorn.server.held import judge_alone
from quickthorn.server.judgement import Admission, Expectation, admit_arrays
from quickthorn.simulations.examiner import Examiner
from quickthorn.simulations.members import Members
from quickthorn.simulations.record import SimulationRecord
from quickthorn.simulations.refusals import refuse_futile
from quickthorn.simulations.stopwatch import Stopwatch
from quickthorn.simulations.tally import Tally, draw
from quickthorn.strategies import build
from quickthorn.strategies.optimizer import build_optimizer
from quickthorn.strategies.registry import SCORERS
from quickthorn.strategies.reputation import Limits, Reputation, review
from quickthorn.strategies.round import run_round
from quickthorn.strategies.updates import UpdateMatrix, Verdict
from quickthorn.strategies.votes import Votes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from quickthorn.server.held import Held
    from quickthorn.simulations.record import Evaluation
    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.trainer import Answer, Model
    from quickthorn.strategies.defense import Defense, State
    from quickthorn.strategies.round import RoundOutcome
    from quickthorn.strategies.updates import Array

    # Called after each round with its number and the model.
    After = Callable[[int, Model], None]
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


@dataclass(frozen=True, eq=False)
class Server:
    """What the server has after a round.

    Attributes
    ----------
    model
        As it was sent, or as it is published.
    state
        Of the defense, the optimizer and the scorers.
    reputation
        Of the clients; None before the first round.

    """

    model: Model
    state: State | None = None
    reputation: Reputation | None = None

    @property
    def excluded(self) -> frozenset[str]:
        """Return who is not aggregated in the next round."""
        return self.reputation.excluded if self.reputation else frozenset()


def run_rounds(
    members: Members,
    watch: Stopwatch,
    after: After,
    scorers: Sequence[str] = SCORERS,
    held: Held | None = None,
) -> tuple[Model, Tally]:
    """Run all rounds; return the final model and what was found on the way.

    ``held`` judges each update alone, as for ``RobustStrategy``.
    """
    scenario, layout = members.scenario, members.layout
    rows = np.empty((len(draw(scenario, 1)), layout.size), layout.dtype)
    defense = build(scenario.defense, byzantine=scenario.byzantine)
    limits = Limits(byzantine=scenario.byzantine, min_clients=defense.min_clients)
    server, tally = Server(members.initial), Tally()
    for number in range(1, scenario.rounds + 1):
        outcome, verdicts = _play(members, defense, number, server, rows, watch, scorers, held)
        with watch("review"):
            judged = review(
                server.reputation,
                number,
                outcome.scores,
                verdicts,
                policy=scenario.policy,
                limits=limits,
            )
        tally.add(number, verdicts, outcome.scores, outcome.reason)
        tally.add_review(number, judged.standings, judged.changes)
        model = server.model
        if outcome.weights is not None and outcome.counters is not None:
            model = layout.unflatten(outcome.weights, outcome.counters)
        server = Server(model, outcome.state, judged.reputation)
        after(number, model)
    return server.model, tally


def _play(  # noqa: PLR0913, PLR0917 - a round depends on all of these
    members: Members,
    defense: Defense,
    number: int,
    server: Server,
    rows: Array,
    watch: Stopwatch,
    scorers: Sequence[str],
    held: Held | None,
) -> tuple[RoundOutcome, list[Verdict]]:
    """Play one round; ``rows`` is room for the updates."""
    scenario, layout = members.scenario, members.layout
    weights, counters = layout.flatten(server.model)
    answers = members.answers(
        number,
        draw(scenario, number),
        server.model,
        lambda clients: members.foresee(defense, server.state, number, server.model, clients).told(
            votes=Votes.of(clients, excluded=server.excluded)
        ),
    )
    expected = Expectation.of(layout, weights)
    matrix, found, verdicts = _admit(answers, expected, rows, scenario.client_ids, watch)
    trusted, fault = None, ""
    if matrix is not None and defense.needs_trusted:
        trusted, fault = members.own_update(number, server.model)
    judged = None
    if matrix is not None and held is not None:
        with watch("held"):
            judged = judge_alone(held, number, matrix, layout, weights, counters)
    outcome = run_round(
        defense,
        matrix,
        weights=weights,
        counters=found or [counters],
        quorum=0,
        scorers=scorers,
        optimizer=build_optimizer(scenario.optimizer),
        trusted=trusted,
        layout=layout,
        held=judged,
        excluded=server.excluded,
        fault=fault,
        state=server.state,
        rng=np.random.default_rng((scenario.seed, number)),
        stage=watch,
    )
    return outcome, verdicts


def _admit(
    answers: Iterator[Answer],
    expected: Expectation,
    rows: Array,
    ids: tuple[str, ...],
    watch: Stopwatch,
) -> tuple[UpdateMatrix | None, list[NDArray[np.int64]], list[Verdict]]:
    """Judge the answers one by one; the sound ones fill ``rows`` from the top."""
    accepted: dict[str, Admission] = {}
    verdicts = []
    for answer in answers:
        client = ids[answer.client]
        if answer.arrays is None:
            verdicts.append(Verdict(client, accepted=False, code="error", reason=answer.fault))
            continue
        with watch("admit"):
            found = admit_arrays(answer.arrays, answer.samples, expected, rows[len(accepted)])
        verdicts.append(Verdict(client, found.code == "ok", found.code, found.reason))
        if found.code == "ok":
            accepted[client] = found
    if not accepted:
        return None, [], verdicts
    claims = np.array([found.samples for found in accepted.values()], np.float64)
    matrix = UpdateMatrix(rows[: len(accepted)], tuple(accepted), claims)
    return matrix, [found.counters for found in accepted.values()], verdicts


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
