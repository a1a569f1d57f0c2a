"""The rounds of a scenario without messages.

The members are simulated; what judges, scores and aggregates their updates is the code of the
deployment: ``server.judgement`` and ``strategies.round``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.server.held import judge_alone
from quickthorn.server.judgement import Admission, Expectation, admit_arrays
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
    from quickthorn.simulations.members import Members
    from quickthorn.simulations.stopwatch import Stopwatch
    from quickthorn.simulations.trainer import Answer, Model
    from quickthorn.strategies.defense import Defense, State
    from quickthorn.strategies.round import RoundOutcome
    from quickthorn.strategies.updates import Array

    # Called after each round with its number and the model.
    After = Callable[[int, Model], None]


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
