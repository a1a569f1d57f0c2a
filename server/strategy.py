"""``RobustStrategy``: a Flower ``Strategy`` that no member can stop, own or impersonate."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MessageType, MetricRecord, RecordDict
from flwr.serverapp.strategy import Result, Strategy

from quickthorn.server.cohort import connected, sample, wait_for
from quickthorn.server.decisions import carry_out
from quickthorn.server.digest import digest
from quickthorn.server.entries import RoundRecord
from quickthorn.server.exchange import ask, bind_all, collect
from quickthorn.server.held import judge_alone
from quickthorn.server.intake import receive_updates, take_metrics
from quickthorn.server.judgement import Expectation
from quickthorn.server.limits import check_limits
from quickthorn.server.mailbox import open_mailbox
from quickthorn.server.model import save_model, to_model, to_record
from quickthorn.server.recorder import LOG, Recorder, fresh_folder
from quickthorn.server.root import check_root, own_update
from quickthorn.server.storage import SPILL_BYTES, spills
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.optimizer import build_optimizer
from quickthorn.strategies.registry import SCORERS, find
from quickthorn.strategies.reputation import Limits, Policy, Reputation, review
from quickthorn.strategies.round import RoundOutcome, run_round
from quickthorn.strategies.updates import ModelLayout
from quickthorn.strategies.wire import ARRAYS, CONFIG, NUM_EXAMPLES, SERVER_ROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from flwr.app import Message
    from flwr.serverapp import Grid
    from numpy.typing import NDArray

    from quickthorn.server.exchange import Reply
    from quickthorn.server.held import Held
    from quickthorn.server.intake import Intake
    from quickthorn.server.mailbox import Mailbox
    from quickthorn.server.model import Model
    from quickthorn.server.root import Root
    from quickthorn.strategies import Defense, Step
    from quickthorn.strategies.defense import State
    from quickthorn.strategies.optimizer import Optimizer
    from quickthorn.strategies.reputation import Change

_DEFAULT_TIMEOUT = 3600.0  # seconds, as in Flower's Strategy.start
# What the seed and the round are mixed with, so that the phases draw different clients. None is 0:
# numpy takes (seed, round, 0) for (seed, round), from which the rules draw.
_TRAIN, _EVALUATE = 1, 2


class RobustStrategy(Strategy):
    """Aggregate with a defense, score every client, survive every reply.

    A drop-in for ``flwr.serverapp.strategy.FedAvg``: the clients need no change. Each reply is
    bound to the message that it answers and judged alone against the model that was sent; the
    updates (deltas) become rows of one matrix as they arrive; the defense aggregates them; the
    round is recorded on disk before its model is published. Too few valid updates, or a
    deadline that passes, leave the model unchanged with the reason recorded.

    Parameters
    ----------
    defense
        ``"nnm | trimmed_mean"``, its TOML form, or steps; see ``quickthorn rules``.
    byzantine
        f, how many clients may lie.
    run_dir
        Folder of the run's record and model; ``runs/<time>`` by default. It must not hold
        the record of another run.
    fraction_train, fraction_evaluate
        Share of the connected clients asked in each phase, from 0 to 1.
    quorum
        The fewest votes, of valid updates, with which the model may move; at least, and by default,
        what the defense needs for its f.
    min_available_clients
        Votes to wait for before the first round; ``quorum`` by default.
    patience
        Seconds to wait for clients to connect, each round; never beyond the round's timeout.
    organizations
        Client id (``key:…`` or ``node:…``) to the name under which the record shows it. The
        clients of one organization have one vote.
    automatic
        What happens by itself to a client against whom the evidence is strong: nothing beyond
        ``watch`` (``"observe"``), a proposal that waits for a person (``"propose"``), or its
        ``"quarantine"``; ``"propose"`` by default. People decide with ``quickthorn quarantine``,
        ``readmit`` and ``ban``, from the next round on.
    policy
        The thresholds; its ``automatic`` counts where the argument is left out.
    optimizer
        How the model moves by the aggregate: ``"sgd"`` (by itself), ``"adam(learning_rate=0.1)"``
        and the others of ``quickthorn rules``.
    root
        (round, model as name to array) to the model that the server trained on data of its
        own, for a defense that needs the server's update (``fltrust``); others leave it
        alone. If it raises or returns NaN, the round leaves the model unchanged with the reason.
    held
        (round, model as name to array) to its loss and its recall of each class on samples that
        the server holds itself: the signals ``held_loss`` and ``held_recall``. It is called once
        for the model that was sent and once per client, with that client's update alone applied.
        If it raises or returns NaN, the round goes on without these signals.
    scorers
        Signals to compute, by name; all by default.
    seed
        Of the draw of clients, and of rules that draw.
    max_reply_bytes
        The most that one reply may weigh; four models and 16 MiB by default.
    spill_bytes
        From how many bytes on the updates of a round lie in a file of ``run_dir``, which is
        gone with the round, and not in memory; 2 GiB by default, 0 for never. A disk without
        room for them leaves the model unchanged with the reason recorded; nobody is asked.
    arrayrecord_key, configrecord_key, weighted_by_key
        Record names, as in Flower's ``FedAvg``. Sample counts are claims: they carry weight
        only under a rule that asks for them, such as ``weighted_mean``, and there capped.

    Raises
    ------
    ConfigurationError
        If an argument is outside its range, or the defense needs a ``root`` and has none.

    Example
    -------
    >>> strategy = RobustStrategy("nnm | trimmed_mean", byzantine=2)
    >>> strategy.defense.min_clients
    5

    """

    def __init__(  # noqa: PLR0913 - keyword-only, each with a default that suits most runs
        self,
        defense: str | Step | Defense | Sequence[Step | Mapping[str, object]],
        *,
        byzantine: int,
        run_dir: str | Path | None = None,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        quorum: int | None = None,
        min_available_clients: int | None = None,
        patience: float = 60.0,
        organizations: Mapping[str, str] | None = None,
        automatic: str | None = None,
        policy: Policy | None = None,
        optimizer: str | Step | Optimizer | Mapping[str, object] = "sgd",
        root: Root | None = None,
        held: Held | None = None,
        scorers: Sequence[str] = SCORERS,
        seed: int = 0,
        max_reply_bytes: int | None = None,
        spill_bytes: int = SPILL_BYTES,
        arrayrecord_key: str = ARRAYS,
        configrecord_key: str = CONFIG,
        weighted_by_key: str = NUM_EXAMPLES,
    ) -> None:
        """Check the arguments; nothing is opened or sent yet."""
        self.defense = build(defense, byzantine=byzantine)
        check_root(self.defense, root)
        check_limits(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            quorum=quorum or 0,
            min_available_clients=min_available_clients or 0,
            patience=patience,
            seed=seed,
            spill_bytes=spill_bytes,
        )
        for name in scorers:
            find("scorer", name)
        self.fraction_train = fraction_train
        self.fraction_evaluate = fraction_evaluate
        self.quorum = max(quorum or 0, self.defense.min_clients)
        self.min_available_clients = max(min_available_clients or 0, self.quorum)
        self.patience = patience
        self.organizations = dict(organizations or {})
        self.policy = policy or Policy()
        if automatic is not None:
            self.policy = replace(self.policy, automatic=automatic)
        self.optimizer = build_optimizer(optimizer)
        self.root = root
        self.held = held
        self.scorers = tuple(scorers)
        self.seed = seed
        self.max_reply_bytes = max_reply_bytes
        self.spill_bytes = spill_bytes
        self.arrayrecord_key = arrayrecord_key
        self.configrecord_key = configrecord_key
        self.weighted_by_key = weighted_by_key
        self._given_dir = run_dir
        self._begin()
        self._timeout = _DEFAULT_TIMEOUT
        self._asked: dict[str, Message] = {}
        self._sent: Model = {}
        self._started = 0.0

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
        """Run the federation; Flower's own signature and ``Result``.

        Parameters
        ----------
        grid, initial_arrays, num_rounds, train_config, evaluate_config, evaluate_fn
            As in ``flwr.serverapp.strategy.Strategy.start``.
        timeout
            Seconds that each phase of a round may take: its deadline.

        Returns
        -------
        Result
            ``arrays`` is the last model; the initial one if no round moved it.

        Raises
        ------
        UpdateError
            If ``initial_arrays`` cannot be aggregated (no float tensor, a foreign dtype, NaN).
        ConfigurationError
            If ``run_dir`` already holds a run, or ``timeout`` is not above 0.

        """
        if not timeout > 0:
            msg = f"timeout must be above 0 seconds; got {timeout}."
            raise ConfigurationError(msg)
        self._timeout = timeout
        mailbox = open_mailbox(grid, max_reply_bytes=self._reply_limit(initial_arrays))
        self._begin()
        self.summary()
        result = Result(arrays=initial_arrays)
        try:
            self._recorder.open()  # before anybody is kept waiting
            self._evaluate_here(0, initial_arrays, evaluate_fn, result)
            for number in range(1, num_rounds + 1):
                self.configure_train(number, result.arrays, train_config or ConfigRecord(), grid)
                arrays, metrics = self._close_training(number, self._replies(mailbox))
                result.arrays = arrays or result.arrays
                if metrics is not None:
                    result.train_metrics_clientapp[number] = metrics
                self.configure_evaluate(
                    number, result.arrays, evaluate_config or ConfigRecord(), grid
                )
                metrics = self._close_evaluation(number, self._replies(mailbox))
                if metrics is not None:
                    result.evaluate_metrics_clientapp[number] = metrics
                self._evaluate_here(number, result.arrays, evaluate_fn, result)
        finally:
            self.close()
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw the clients of a training round and write their messages.

        What people have decided since the round before counts from here on.
        """
        self._sent = to_model(arrays)
        self._hear(server_round)
        least = self.min_available_clients if server_round == 1 else self.quorum
        messages = self._ask(
            number=server_round,
            arrays=arrays,
            config=config,
            grid=grid,
            message_type=MessageType.TRAIN,
            fraction=self.fraction_train,
            least=least,
        )
        self._started = time.monotonic()
        return messages

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw the clients of an evaluation round and write their messages."""
        return self._ask(
            number=server_round,
            arrays=arrays,
            config=config,
            grid=grid,
            message_type=MessageType.EVALUATE,
            fraction=self.fraction_evaluate,
            least=0,
        )

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Judge, score and aggregate ``replies``; never raises because of one.

        For a caller that drives the strategy by Flower's own loop; ``start`` hands over the
        replies while they arrive.
        """
        return self._close_training(server_round, bind_all(self._asked, replies))

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Combine the clients' own metrics by their median."""
        return self._close_evaluation(server_round, bind_all(self._asked, replies))

    def summary(self) -> None:
        """Log what the run is protected by, and where its record is."""
        LOG.info("defense: %s, byzantine=%d", self.defense, self.defense.byzantine)
        LOG.info("optimizer: %s", self.optimizer)
        LOG.info("quarantine: %s", self.policy.automatic)
        LOG.info("quorum: %d valid updates; record: %s", self.quorum, self.run_dir)

    def close(self) -> None:
        """Close the record; ``start`` does it."""
        self._recorder.close()

    def _begin(self) -> None:
        """Forget an earlier run of this object; nothing is written yet."""
        self.state: State | None = None
        self.reputation = Reputation()
        self._decided: tuple[Change, ...] = ()
        self._names: dict[str, str] = {}
        self.run_dir = fresh_folder() if self._given_dir is None else Path(self._given_dir)
        self._recorder = Recorder(
            self.run_dir,
            {
                "defense": str(self.defense),
                "byzantine": str(self.defense.byzantine),
                "quorum": str(self.quorum),
                "optimizer": str(self.optimizer),
                "policy": json.dumps(asdict(self.policy)),
                "seed": str(self.seed),
            },
        )

    def _hear(self, number: int) -> None:
        ledger = self._recorder.store.ledger
        self.reputation, self._decided = carry_out(
            ledger, self.reputation, number, known=self._names
        )

    def _reply_limit(self, arrays: ArrayRecord) -> int:
        model = to_model(arrays)
        layout = ModelLayout.of(model)
        if not np.isfinite(layout.flatten(model)[0]).all():
            msg = "initial_arrays hold NaN or infinity; start from a model that does not."
            raise UpdateError(msg)
        return self.max_reply_bytes or 4 * layout.nbytes + (16 << 20)

    def _replies(self, mailbox: Mailbox) -> Iterator[Reply]:
        return collect(mailbox, self._asked, timeout=self._timeout)

    def _ask(  # noqa: PLR0913 - the difference between the two phases
        self,
        *,
        number: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
        message_type: str,
        fraction: float,
        least: int,
    ) -> list[Message]:
        self._asked = {}
        if fraction == 0:
            return []
        phase = _TRAIN if message_type == MessageType.TRAIN else _EVALUATE
        excluded = self.reputation.excluded
        present = wait_for(
            lambda: connected(grid, self.organizations),
            least=least,
            patience=min(self.patience, self._timeout),
            excluded=excluded,
        )
        chosen = sample(
            present,
            fraction=fraction,
            least=self.quorum if phase == _TRAIN else 1,
            seed=(self.seed, number, phase),
            excluded=excluded,
            # In quarantine a client trains on, but nobody asks it how good the model is.
            banned=self.reputation.banned if phase == _TRAIN else excluded,
        )
        self._names |= {who.id: who.name for who in chosen}
        self._recorder.store.add_clients(chosen)
        content = RecordDict(
            {
                self.arrayrecord_key: arrays,
                self.configrecord_key: ConfigRecord({**config, SERVER_ROUND: number}),
            }
        )
        nodes = {participant.id: participant.node for participant in chosen}
        self._asked = ask(nodes, content, message_type, self._timeout)
        return list(self._asked.values())

    def _close_training(
        self, number: int, replies: Iterable[Reply]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        layout = ModelLayout.of(self._sent)
        weights, counters = layout.flatten(self._sent)
        expected = Expectation.of(
            layout, weights, arrays_key=self.arrayrecord_key, weight_key=self.weighted_by_key
        )
        outcome, intake = self._play(number, replies, expected, counters)
        if spills(len(self._asked) * weights.nbytes, self.spill_bytes):
            gc.collect()  # compiling leaves cycles, which may hold the file and its room
        self.state = outcome.state
        reviewed = review(
            self.reputation,
            number,
            outcome.scores,
            intake.verdicts,
            policy=self.policy,
            limits=Limits(self.defense.byzantine, self.quorum, self._names),
        )
        model = self._sent
        if outcome.weights is not None and outcome.counters is not None:
            model = layout.unflatten(outcome.weights, outcome.counters)
        metrics = intake.combined_metrics(self.reputation.excluded)
        record = RoundRecord(
            number,
            time.monotonic() - self._started,
            "unchanged" if outcome.weights is None else "aggregated",
            outcome.reason,
            len(self._asked),
            intake.unsolicited,
            digest(model),
            intake.verdicts,
            outcome.scores,
            outcome.influence or {},
            metrics,
            reviewed.standings,
            self._decided + reviewed.changes,
            reviewed.reputation.to_json(),
        )
        # The record first: a model that no record explains must not exist.
        self._recorder.add_round(record)
        self.reputation = reviewed.reputation
        if outcome.weights is None:
            return None, None
        save_model(model, self.run_dir)
        return to_record(model), MetricRecord(dict(metrics))

    def _play(
        self,
        number: int,
        replies: Iterable[Reply],
        expected: Expectation,
        counters: NDArray[np.int64],
    ) -> tuple[RoundOutcome, Intake]:
        """Take the replies and aggregate them; what they filled is free afterwards."""
        layout = expected.layout
        matrix, found, intake, no_room = receive_updates(
            replies,
            list(self._asked),
            expected,
            folder=self.run_dir,
            spill_bytes=self.spill_bytes,
        )
        if no_room:
            return RoundOutcome(None, None, no_room, None, (), self.state), intake
        trusted, fault = None, ""
        if matrix is not None and self.root is not None and self.defense.needs_trusted:
            trusted, fault = own_update(self.root, number, self._sent, layout, expected.weights)
        held = None
        if matrix is not None and self.held is not None:
            held = judge_alone(self.held, number, matrix, layout, expected.weights, counters)
        outcome = run_round(
            self.defense,
            matrix,
            weights=expected.weights,
            counters=found or [counters],
            quorum=self.quorum,
            scorers=self.scorers,
            optimizer=self.optimizer,
            trusted=trusted,
            layout=layout,
            excluded=self.reputation.excluded,
            organizations=self._names,
            held=held,
            fault=fault,
            state=self.state,
            rng=np.random.default_rng((self.seed, number)),
        )
        return outcome, intake

    def _close_evaluation(self, number: int, replies: Iterable[Reply]) -> MetricRecord | None:
        if not self._asked:
            return None
        intake = take_metrics(replies, self.weighted_by_key)
        metrics = intake.combined_metrics()
        self._recorder.store.add_evaluation(number, "clients", metrics, intake.verdicts)
        return MetricRecord(dict(metrics)) if metrics else None

    def _evaluate_here(
        self,
        number: int,
        arrays: ArrayRecord,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None,
        result: Result,
    ) -> None:
        metrics = evaluate_fn(number, arrays) if evaluate_fn else None
        if metrics is None:
            return
        result.evaluate_metrics_serverapp[number] = metrics
        self._recorder.add_server_evaluation(number, metrics)
