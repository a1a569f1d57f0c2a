"""``Observer``: any Flower strategy as it is, with our verdicts and scores beside it."""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from flwr.serverapp.strategy import Result, Strategy

from quickthorn.server.cohort import connected
from quickthorn.server.digest import digest
from quickthorn.server.entries import Participant, RoundRecord
from quickthorn.server.exchange import bind_all
from quickthorn.server.intake import Intake, receive_updates, take_metrics
from quickthorn.server.judgement import Expectation
from quickthorn.server.model import to_model
from quickthorn.server.recorder import LOG, Recorder, fresh_folder
from quickthorn.server.storage import SPILL_BYTES, spills
from quickthorn.server.strategy import RobustStrategy
from quickthorn.server.text import printable
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.registry import DEFAULT_SCORERS, find
from quickthorn.strategies.scoring import score_updates
from quickthorn.strategies.updates import ModelLayout
from quickthorn.strategies.wire import ARRAYS, NUM_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
    from flwr.serverapp import Grid

    from quickthorn.server.model import Model
    from quickthorn.strategies.defense import State
    from quickthorn.strategies.updates import Score

_DEFAULT_TIMEOUT = 3600.0  # seconds, as in Flower's Strategy.start
_WATCHED = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")


class Observer(Strategy):
    """Leave a Flower strategy as it is; judge, score and record every reply beside it.

    The wrapped strategy draws the clients, writes the messages, aggregates and returns what it
    would without an observer, to the bit, in its own loop. It is not protected: a reply that
    poisons it or makes it raise still does, which is what ``RobustStrategy`` is for. The record
    says who sent it. Nothing that the observer does itself ends a run: should judging or
    recording fail, the log says so and the federation goes on.

    Parameters
    ----------
    strategy
        Any Flower strategy whose clients answer with the model that they trained.
    byzantine
        f, how many clients may lie; some signals depend on it.
    run_dir
        Folder of the record; ``runs/<time>`` by default. It must not hold that of another run.
    organizations
        Client id (``key:…`` or ``node:…``) to the name under which the record shows it.
    scorers
        Signals to compute, by name; cosine, Krum distance and norm by default.
    spill_bytes
        From how many bytes on the updates of a round lie in a file of ``run_dir``; 2 GiB by
        default, 0 for never. They are held beside Flower's own replies.

    Raises
    ------
    ConfigurationError
        If an argument is outside its range, or ``strategy`` records by itself.

    Example
    -------
    >>> from flwr.serverapp.strategy import FedMedian
    >>> observer = Observer(FedMedian(), byzantine=2, run_dir="runs/observed")
    >>> observer.strategy.fraction_train
    1.0

    """

    def __init__(  # noqa: PLR0913 - keyword-only, each with a default that suits most runs
        self,
        strategy: Strategy,
        *,
        byzantine: int,
        run_dir: str | Path | None = None,
        organizations: Mapping[str, str] | None = None,
        scorers: Sequence[str] = DEFAULT_SCORERS,
        spill_bytes: int = SPILL_BYTES,
    ) -> None:
        """Check the arguments; nothing is opened or sent yet."""
        if isinstance(strategy, RobustStrategy):
            raise ConfigurationError("RobustStrategy scores and records by itself; start it alone.")
        self.strategy = strategy
        self.byzantine = build("mean", byzantine=byzantine).byzantine  # refuses what is no count
        for name in scorers:
            find("scorer", name)
        self.organizations = dict(organizations or {})
        self.scorers = tuple(scorers)
        self.spill_bytes = spill_bytes
        # Flower's strategies know the names of their records.
        self.arrayrecord_key: str = getattr(strategy, "arrayrecord_key", ARRAYS)
        self.weighted_by_key: str = getattr(strategy, "weighted_by_key", NUM_EXAMPLES)
        self._given_dir = run_dir
        self._begin()

    def _begin(self) -> None:
        """Forget an earlier run of this object; nothing is written yet."""
        self._configure_train = self.strategy.configure_train
        self._aggregate_train = self.strategy.aggregate_train
        self._configure_evaluate = self.strategy.configure_evaluate
        self._aggregate_evaluate = self.strategy.aggregate_evaluate
        self._asked: dict[str, Message] = {}
        self._sent: Model = {}
        self._layout: ModelLayout | None = None
        self._kept: State | None = None  # what the signals want back in the next round
        self._started = 0.0
        self.run_dir = fresh_folder() if self._given_dir is None else Path(self._given_dir)
        self._recorder = Recorder(
            self.run_dir,
            {"defense": f"none ({self._name}, observed)", "byzantine": str(self.byzantine)},
        )

    def start(  # noqa: PLR0913, PLR0917 - Flower's own signature
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = _DEFAULT_TIMEOUT,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Let the strategy run its own ``start``, and watch.

        Parameters
        ----------
        grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn
            As in ``flwr.serverapp.strategy.Strategy.start``.

        Returns
        -------
        Result
            The strategy's own.

        Raises
        ------
        UpdateError
            If ``initial_arrays`` are no model whose updates can be scored (no float tensor, a
            foreign dtype).
        ConfigurationError
            If ``run_dir`` already holds a run.
        Exception
            Whatever the strategy raises; the record says in which round.

        """
        ModelLayout.of(to_model(initial_arrays))
        self._begin()
        self._recorder.open()
        LOG.info("%s is observed; record: %s", self._name, self.run_dir)
        try:
            with self._listening():
                return self.strategy.start(
                    grid=grid,
                    initial_arrays=initial_arrays,
                    num_rounds=num_rounds,
                    timeout=timeout,
                    train_config=train_config,
                    evaluate_config=evaluate_config,
                    evaluate_fn=evaluate_fn and self._overhear(evaluate_fn),
                )
        finally:
            self.close()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's own messages, and note to whom they go."""
        messages = list(self._configure_train(server_round, arrays, config, grid))
        self._asked, self._sent = {}, {}
        with self._beside(server_round):
            self._asked, self._sent = self._by_client(messages, grid), to_model(arrays)
        self._started = time.monotonic()
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Judge and score ``replies``, then return what the strategy makes of them."""
        received = list(replies)
        intake = Intake()
        scores: tuple[Score, ...] = ()
        if self._asked:
            with self._beside(server_round):
                intake, scores = self._look(received)
        try:
            arrays, metrics = self._aggregate_train(server_round, received)
        except Exception as error:
            reason = f"{self._name} raised {type(error).__name__}: {printable(error)}"
            self._note(server_round, None, reason, intake, scores)
            raise
        reason = "" if arrays is not None else f"{self._name} returned no model"
        self._note(server_round, arrays, reason, intake, scores)
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's own messages, and note to whom they go."""
        messages = list(self._configure_evaluate(server_round, arrays, config, grid))
        self._asked = {}
        with self._beside(server_round):
            self._asked = self._by_client(messages, grid)
        return messages

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Record what the clients claim, then return what the strategy makes of it."""
        received = list(replies)
        if self._asked:
            with self._beside(server_round):
                intake = take_metrics(bind_all(self._asked, received), self.weighted_by_key)
                metrics = intake.combined_metrics()
                self._recorder.store.add_evaluation(
                    server_round, "clients", metrics, intake.verdicts
                )
        return self._aggregate_evaluate(server_round, received)

    def summary(self) -> None:
        """Log the strategy's own summary."""
        self.strategy.summary()

    def close(self) -> None:
        """Close the record; ``start`` does it."""
        self._recorder.close()

    @property
    def _name(self) -> str:
        return type(self.strategy).__name__

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let the strategy's loop, its own or Flower's, call us where it calls the strategy."""
        own = vars(self.strategy)
        before = {name: own[name] for name in _WATCHED if name in own}
        own.update({name: getattr(self, name) for name in _WATCHED})
        try:
            yield
        finally:
            for name in _WATCHED:
                del own[name]
            own.update(before)

    @contextmanager
    def _beside(self, number: int) -> Iterator[None]:
        """Keep a fault of our own, a full disk for instance, away from the federation."""
        try:
            yield
        except Exception:  # noqa: BLE001 - to watch must not end what is watched
            LOG.exception("round %d: observing failed; %s goes on", number, self._name)

    def _overhear(
        self, evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None]
    ) -> Callable[[int, ArrayRecord], MetricRecord | None]:
        def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord | None:
            metrics = evaluate_fn(number, arrays)
            if metrics is not None:
                with self._beside(number):
                    self._recorder.add_server_evaluation(number, metrics)
            return metrics

        return evaluate

    def _by_client(self, messages: Sequence[Message], grid: Grid) -> dict[str, Message]:
        """Return the messages by the client that they go to, and record the clients."""
        known = {who.node: who for who in connected(grid, self.organizations)}
        asked: dict[str, Message] = {}
        clients = []
        for message in messages:
            node = message.metadata.dst_node_id
            who = known.get(node) or Participant(f"node:{node}", f"node:{node}", node)
            asked[who.id] = message
            clients.append(who)
        self._recorder.store.add_clients(clients)
        return asked

    def _look(self, replies: Sequence[Message]) -> tuple[Intake, tuple[Score, ...]]:
        """Judge and score the replies of a training round."""
        expected = self._expectation()
        if not np.isfinite(expected.weights).all():
            reason = "was not judged: the model that was sent holds NaN or infinity"
            return Intake.unjudged(self._asked, "unjudged", reason), ()
        intake, scores = self._score(replies, expected)
        if spills(len(self._asked) * expected.weights.nbytes, self.spill_bytes):
            gc.collect()  # compiling leaves cycles, which may hold the file and its room
        return intake, scores

    def _score(
        self, replies: Sequence[Message], expected: Expectation
    ) -> tuple[Intake, tuple[Score, ...]]:
        """Take the replies and score them; what they filled is free afterwards."""
        matrix, _, intake, _ = receive_updates(
            bind_all(self._asked, replies),
            list(self._asked),
            expected,
            folder=self.run_dir,
            spill_bytes=self.spill_bytes,
        )
        if matrix is None:
            return intake, ()
        scores, self._kept = score_updates(
            matrix,
            byzantine=self.byzantine,
            scorers=self.scorers,
            layout=expected.layout,
            state=self._kept,
        )
        return intake, scores

    def _expectation(self) -> Expectation:
        """Return what replies are measured against: the model that was sent.

        Its dtypes are those of the first round: Flower's strategies turn integers, and some of
        them float32, into float64, and clients answer in the one or the other.
        """
        form = {name: array.shape for name, array in self._sent.items()}
        if self._layout is None or form != {t.name: t.shape for t in self._layout.tensors}:
            self._layout, self._kept = ModelLayout.of(self._sent), None
        layout = self._layout
        with np.errstate(over="ignore", invalid="ignore"):
            weights, _ = layout.flatten(self._sent)
        drifted = {
            tensor.name: self._sent[tensor.name].dtype
            for tensor in layout.tensors
            if self._sent[tensor.name].dtype != tensor.dtype
        }
        keys = {"arrays_key": self.arrayrecord_key, "weight_key": self.weighted_by_key}
        return replace(Expectation.of(layout, weights, **keys), drifted=drifted)

    def _note(
        self,
        number: int,
        arrays: ArrayRecord | None,
        reason: str,
        intake: Intake,
        scores: Sequence[Score],
    ) -> None:
        """Write the round's record; ``arrays`` is None where the model stays."""
        with self._beside(number):
            metrics = intake.combined_metrics()
            record = RoundRecord(
                number,
                time.monotonic() - self._started,
                "unchanged" if arrays is None else "aggregated",
                reason,
                len(self._asked),
                intake.unsolicited,
                digest(self._sent if arrays is None else to_model(arrays)),
                intake.verdicts,
                scores,
                metrics=metrics,
            )
            self._recorder.add_round(record)
