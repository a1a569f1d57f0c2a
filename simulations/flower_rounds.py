"""The rounds of a scenario as the deployment runs them: ``RobustStrategy`` over Flower messages.

The members are those of the engine; between them and the strategy stand Flower's messages, the
binding of replies, the admission of their bytes and the record on disk. The model is the same
to the bit, which is what this is for.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict

from quickthorn.server.model import to_model, to_record
from quickthorn.server.store import RunStore
from quickthorn.server.strategy import RobustStrategy
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from quickthorn.simulations.quiet import quiet_flower
from quickthorn.simulations.tally import Tally, draw
from quickthorn.strategies.errors import ConfigurationError, RunError
from quickthorn.strategies.votes import Votes
from quickthorn.strategies.wire import ARRAYS, METRICS, NUM_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quickthorn.simulations.attacks.oracle import Oracle
    from quickthorn.simulations.members import Members
    from quickthorn.simulations.rounds import After
    from quickthorn.simulations.stopwatch import Stopwatch
    from quickthorn.simulations.trainer import Answer, Model

_FOREVER = 1e6  # seconds: nobody is late in one process


def run_rounds_on_flower(members: Members, watch: Stopwatch, after: After) -> tuple[Model, Tally]:
    """Run all rounds; return the final model and what the record of the run says."""
    scenario = members.scenario
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as folder, quiet_flower():
        strategy = RobustStrategy(
            scenario.defense,
            byzantine=scenario.byzantine,
            run_dir=Path(folder) / "run",
            fraction_evaluate=0.0,
            patience=0.0,
            policy=scenario.policy,
            optimizer=scenario.optimizer,
            seed=scenario.seed,
            root=members.train_root,
        )
        grid = _MembersGrid(members, strategy)

        def evaluate(number: int, arrays: ArrayRecord) -> None:
            if grid.fault is not None:
                raise grid.fault
            if number:
                after(number, to_model(arrays))
            grid.number = number + 1

        with watch("strategy"):
            result = strategy.start(
                grid=grid,
                initial_arrays=to_record(members.initial),
                num_rounds=scenario.rounds,
                timeout=_FOREVER,
                evaluate_fn=evaluate,
            )
        return to_model(result.arrays), _read_back(strategy.run_dir, grid.names)


class _MembersGrid(InProcessGrid):
    """A grid on which only those members are connected who take part in the round."""

    def __init__(self, members: Members, strategy: RobustStrategy) -> None:
        """Give all nodes ids of the same length, whose text sorts as the members do."""
        count = members.scenario.clients
        self._first = 10 ** len(str(count + 1))
        super().__init__([InProcessClient(self._answer)] * count, self._first)
        self._members = members
        self._strategy = strategy
        self._answers: Iterator[Answer] = iter(())
        self.number = 1
        self.fault: ConfigurationError | None = None
        self.names = {
            f"node:{self._first + client}": name
            for client, name in enumerate(members.scenario.client_ids)
        }

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes of the members that are drawn for this round."""
        return [self._first + client for client in draw(self._members.scenario, self.number)]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let the members begin; each answers, in their order, when its reply is asked for."""
        ids = list(super().push_messages(messages))
        # The strategy asks those in quarantine last.
        waiting = sorted(self._waiting.items(), key=lambda item: item[1].metadata.dst_node_id)
        self._waiting = dict(waiting)
        if waiting:
            sent = [message for _, message in waiting]
            asked = [message.metadata.dst_node_id - self._first for message in sent]
            model = to_model(sent[0].content.array_records[ARRAYS])
            self._answers = self._members.answers(
                self.number, asked, model, partial(self._foresee, self.number, model)
            )
        return ids

    def _answer(self, message: Message, context: Context) -> Message:
        del context
        try:
            answer = next(self._answers)
        except ConfigurationError as error:  # a mistake of the user's, not of a member's
            self.fault = error
            raise
        if answer.arrays is None:
            raise RunError(answer.fault)
        arrays = ArrayRecord({name: Array(value) for name, value in answer.arrays.items()})
        metrics = MetricRecord({NUM_EXAMPLES: answer.samples})
        return Message(RecordDict({ARRAYS: arrays, METRICS: metrics}), reply_to=message)

    def _foresee(self, number: int, sent: Model, clients: tuple[str, ...]) -> Oracle:
        strategy, nodes = self._strategy, {name: node for node, name in self.names.items()}
        known = tuple(nodes[client] for client in clients)
        votes = Votes.of(known, excluded=strategy.reputation.excluded)
        return self._members.foresee(strategy.defense, strategy.state, number, sent, known).told(
            votes=votes
        )


def _read_back(folder: Path, names: dict[str, str]) -> Tally:
    tally = Tally()
    with RunStore.open(folder) as store:
        ledger, changes = store.ledger, store.ledger.changes()
        for row in store.rounds():
            number = row["number"]
            verdicts = [replace(v, client=names[v.client]) for _, _, v in store.verdicts(number)]
            scores = [replace(s, client=names[s.client]) for _, s in store.scores(number)]
            tally.add(number, verdicts, scores, row["reason"])
            standings = [replace(s, client=names[s.client]) for _, s in ledger.standings(number)]
            own = [replace(c, client=names[c.client]) for c in changes if c.round == number]
            tally.add_review(number, standings, own)
    return tally
