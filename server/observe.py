"""``Observer``: any Flower strategy as it is, with our verdicts and scores beside it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.serverapp.strategy import Result, Strategy

from quickthorn.server.model import to_model
from quickthorn.server.recorder import LOG, fresh_folder
from quickthorn.server.storage import SPILL_BYTES
from quickthorn.server.strategy import RobustStrategy
from quickthorn.server.text import printable
from quickthorn.server.witness import Sight, Terms, Witness
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.registry import SCORERS, find
from quickthorn.strategies.updates import ModelLayout
from quickthorn.strategies.wire import ARRAYS, NUM_EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
    from flwr.serverapp import Grid

    from quickthorn.server.held import Held

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
        Signals to compute, by name; all by default.
    held
        As for ``RobustStrategy``: what judges each update alone on samples of the server.
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
        scorers: Sequence[str] = SCORERS,
        held: Held | None = None,
        spill_bytes: int = SPILL_BYTES,
    ) -> None:
        """Check the arguments; nothing is opened or sent yet."""
        if isinstance(strategy, RobustStrategy):
            raise ConfigurationError("RobustStrategy scores and records by itself; start it alone.")
        self.strategy = strategy
        for name in scorers:
            find("scorer", name)
        self._terms = Terms(
            type(strategy).__name__,
            # Flower's strategies know the names of their records.
            getattr(strategy, "arrayrecord_key", ARRAYS),
            getattr(strategy, "weighted_by_key", NUM_EXAMPLES),
            build("mean", byzantine=byzantine).byzantine,  # refuses what is no count
            dict(organizations or {}),
            tuple(scorers),
            held,
            spill_bytes,
        )
        self._given_dir = run_dir
        self._begin()

    def _begin(self) -> None:
        """Forget an earlier run of this object; nothing is written yet."""
        self._configure_train = self.strategy.configure_train
        self._aggregate_train = self.strategy.aggregate_train
        self._configure_evaluate = self.strategy.configure_evaluate
        self._aggregate_evaluate = self.strategy.aggregate_evaluate
        self.run_dir = fresh_folder() if self._given_dir is None else Path(self._given_dir)
        self._witness = Witness(self.run_dir, self._terms)

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
        self._witness.recorder.open()
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
        self._witness.begin_phase()
        with self._beside(server_round):
            self._witness.note_questions(messages, grid, arrays)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Judge and score ``replies``, then return what the strategy makes of them."""
        received, seen = list(replies), Sight()
        with self._beside(server_round):
            seen = self._witness.look(server_round, received)
        try:
            arrays, metrics = self._aggregate_train(server_round, received)
        except Exception as error:
            reason = f"{self._name} raised {type(error).__name__}: {printable(error)}"
            with self._beside(server_round):
                self._witness.note_round(server_round, seen, None, reason)
            raise
        with self._beside(server_round):
            reason = "" if arrays is not None else f"{self._name} returned no model"
            self._witness.note_round(server_round, seen, arrays, reason)
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Return the strategy's own messages, and note to whom they go."""
        messages = list(self._configure_evaluate(server_round, arrays, config, grid))
        self._witness.begin_phase()
        with self._beside(server_round):
            self._witness.note_questions(messages, grid)
        return messages

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Record what the clients claim, then return what the strategy makes of it."""
        received = list(replies)
        with self._beside(server_round):
            self._witness.note_evaluation(server_round, received)
        return self._aggregate_evaluate(server_round, received)

    def summary(self) -> None:
        """Log the strategy's own summary."""
        self.strategy.summary()

    def close(self) -> None:
        """Close the record; ``start`` does it."""
        self._witness.recorder.close()

    @property
    def _name(self) -> str:
        return self._terms.strategy

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
                    self._witness.recorder.add_server_evaluation(number, metrics)
            return metrics

        return evaluate
