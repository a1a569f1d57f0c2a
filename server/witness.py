"""What an observer sees of a run, and the record that it makes of that."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.server.cohort import connected
from quickthorn.server.digest import digest
from quickthorn.server.entries import OBSERVED, Participant, RoundRecord
from quickthorn.server.exchange import bind_all
from quickthorn.server.held import judge_alone
from quickthorn.server.intake import Intake, receive_updates, take_metrics
from quickthorn.server.judgement import Expectation
from quickthorn.server.model import to_model
from quickthorn.server.recorder import Recorder
from quickthorn.server.storage import spills
from quickthorn.strategies.facts import Facts
from quickthorn.strategies.kernels.mapped import by_blocks
from quickthorn.strategies.reputation import Limits, Policy, review
from quickthorn.strategies.scoring import score_updates
from quickthorn.strategies.updates import ModelLayout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flwr.app import ArrayRecord, Message
    from flwr.serverapp import Grid
    from numpy.typing import NDArray

    from quickthorn.server.held import Held
    from quickthorn.server.model import Model
    from quickthorn.strategies.defense import State
    from quickthorn.strategies.reputation import Reputation
    from quickthorn.strategies.updates import Score

_POLICY = Policy("observe")
_ONLY_OBSERVED = "refused: this run is only observed, and nobody is kept out of it"


@dataclass(frozen=True)
class Terms:
    """What the watched strategy calls its things, and what is wanted of the record.

    Attributes
    ----------
    strategy
        Its name.
    arrays_key, weight_key
        Its names of the array record and of the sample count.
    byzantine, organizations, scorers, held, spill_bytes
        As for ``Observer``.

    """

    strategy: str
    arrays_key: str
    weight_key: str
    byzantine: int
    organizations: Mapping[str, str]
    scorers: Sequence[str]
    held: Held | None
    spill_bytes: int


@dataclass(frozen=True, eq=False)
class Sight:
    """What was seen of a round's replies."""

    intake: Intake = field(default_factory=Intake)
    scores: tuple[Score, ...] = ()


class Witness:
    """Follows one run, round by round; may raise where Flower or the disk do."""

    def __init__(self, folder: Path, terms: Terms) -> None:
        """Keep what it is about; nothing is written yet."""
        self._folder = folder
        self._terms = terms
        self._asked: dict[str, Message] = {}
        self._names: dict[str, str] = {}
        self._sent: Model = {}
        self._layout: ModelLayout | None = None
        self._kept: State | None = None  # what the signals want back in the next round
        self._reputation: Reputation | None = None
        self._started = 0.0
        self.recorder = Recorder(
            folder,
            {
                "defense": f"none ({terms.strategy}, observed)",
                "byzantine": str(terms.byzantine),
                "policy": json.dumps(asdict(_POLICY)),
                OBSERVED: "yes",
            },
        )

    def begin_phase(self) -> None:
        """Forget whom the phase before asked."""
        self._asked = {}
        self._started = time.monotonic()

    def note_questions(
        self, messages: Sequence[Message], grid: Grid, arrays: ArrayRecord | None = None
    ) -> None:
        """Note to whom ``messages`` go and, before training, from which model they start."""
        known = {who.node: who for who in connected(grid, self._terms.organizations)}
        asked: dict[str, Message] = {}
        clients = []
        for message in messages:
            node = message.metadata.dst_node_id
            who = known.get(node) or Participant(f"node:{node}", f"node:{node}", node)
            asked[who.id] = message
            clients.append(who)
        self._names |= {who.id: who.name for who in clients}
        self.recorder.store.add_clients(clients)
        if arrays is not None:
            self._sent = to_model(arrays)
        self._asked = asked

    def look(self, number: int, replies: Sequence[Message]) -> Sight:
        """Judge and score the replies of a training round."""
        if not self._asked:
            return Sight()
        expected, counters = self._expectation()
        if not np.isfinite(expected.weights).all():
            reason = "was not judged: the model that was sent holds NaN or infinity"
            return Sight(Intake.unjudged(self._asked, "unjudged", reason))
        seen = self._score(number, replies, expected, counters)
        if spills(len(self._asked) * expected.weights.nbytes, self._terms.spill_bytes):
            gc.collect()  # compiling leaves cycles, which may hold the file and its room
        return seen

    def note_round(self, number: int, seen: Sight, arrays: ArrayRecord | None, reason: str) -> None:
        """Write the round's record; ``arrays`` is None, with the reason, where the model stays."""
        terms, metrics = self._terms, seen.intake.combined_metrics()
        found = review(
            self._reputation,
            number,
            seen.scores,
            seen.intake.verdicts,
            policy=_POLICY,
            limits=Limits(terms.byzantine, min_clients=0, organizations=self._names),
        )
        self._reputation = found.reputation
        record = RoundRecord(
            number,
            time.monotonic() - self._started,
            "unchanged" if arrays is None else "aggregated",
            reason,
            len(self._asked),
            seen.intake.unsolicited,
            digest(self._sent if arrays is None else to_model(arrays)),
            seen.intake.verdicts,
            seen.scores,
            metrics=metrics,
            standings=found.standings,
            changes=found.changes,
            reputation=found.reputation.to_json(),
        )
        self.recorder.add_round(record)
        ledger = self.recorder.store.ledger
        waiting = [entry for entry in ledger.decisions() if entry.round is None]
        ledger.settle([replace(e, round=number, refused=_ONLY_OBSERVED) for e in waiting])

    def note_evaluation(self, number: int, replies: Sequence[Message]) -> None:
        """Record what the clients of an evaluation round claim."""
        if not self._asked:
            return
        intake = take_metrics(bind_all(self._asked, replies), self._terms.weight_key)
        metrics = intake.combined_metrics()
        self.recorder.store.add_evaluation(number, "clients", metrics, intake.verdicts)

    def _score(
        self,
        number: int,
        replies: Sequence[Message],
        expected: Expectation,
        counters: NDArray[np.int64],
    ) -> Sight:
        """Take the replies and score them; what they filled is free afterwards."""
        matrix, _, intake, _ = receive_updates(
            bind_all(self._asked, replies),
            list(self._asked),
            expected,
            folder=self._folder,
            spill_bytes=self._terms.spill_bytes,
        )
        if matrix is None:
            return Sight(intake)
        layout, held = expected.layout, None
        if self._terms.held is not None:
            held = judge_alone(self._terms.held, number, matrix, layout, expected.weights, counters)
        scores, self._kept = score_updates(
            matrix,
            byzantine=self._terms.byzantine,
            scorers=self._terms.scorers,
            held=held,
            state=self._kept,
            known=Facts(by_blocks(matrix.values), layout, expected.weights),
        )
        return Sight(intake, scores)

    def _expectation(self) -> tuple[Expectation, NDArray[np.int64]]:
        """Return what replies are measured against, the model that was sent, and its counters.

        Its dtypes are those of the first round: Flower's strategies turn integers, and some of
        them float32, into float64, and clients answer in the one or the other.
        """
        form = {name: array.shape for name, array in self._sent.items()}
        if self._layout is None or form != {t.name: t.shape for t in self._layout.tensors}:
            self._layout, self._kept = ModelLayout.of(self._sent), None
        layout = self._layout
        with np.errstate(over="ignore", invalid="ignore"):
            weights, counters = layout.flatten(self._sent)
        drifted = {
            tensor.name: self._sent[tensor.name].dtype
            for tensor in layout.tensors
            if self._sent[tensor.name].dtype != tensor.dtype
        }
        terms = self._terms
        expected = Expectation.of(
            layout, weights, arrays_key=terms.arrays_key, weight_key=terms.weight_key
        )
        return replace(expected, drifted=drifted), counters
