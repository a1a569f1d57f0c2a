"""``RobustStrategy`` as a Flower strategy: drop-in, repeatable, frugal, recorded."""

from __future__ import annotations

import sqlite3
import tracemalloc
from typing import TYPE_CHECKING
from unittest.mock import Mock

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Result, Strategy

from quickthorn.server import strategy as strategy_module
from quickthorn.server.cohort import sample
from quickthorn.server.digest import digest
from quickthorn.server.model import to_model, to_record
from quickthorn.server.store import RunStore
from quickthorn.server.strategy import RobustStrategy
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from quickthorn.strategies.kernels.rows import row_norms
from quickthorn.strategies.round import run_round
from tests.federations import (
    client_of,
    grid_of,
    initial_model,
    members,
    model_of,
    run,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from flwr.app import Context

    from quickthorn.server.exchange import Reply
    from tests.federations import Model


@pytest.mark.parametrize("name", ["FedAvg", "RobustStrategy"])
def test_one_line_of_an_app_chooses_the_strategy(name: str, tmp_path: Path) -> None:
    strategy: Strategy = FedAvg()
    if name == "RobustStrategy":
        strategy = RobustStrategy("median", byzantine=1, run_dir=tmp_path / "run")

    result = strategy.start(
        grid=grid_of(members()),
        initial_arrays=to_record(initial_model()),
        num_rounds=2,
        evaluate_fn=lambda number, arrays: MetricRecord(
            {"size": float(len(arrays)), "list": [number]}
        ),
    )

    assert isinstance(result, Result)
    assert list(result.arrays) == ["w", "b", "steps"]
    moved = to_model(result.arrays)["w"] - initial_model()["w"]
    assert np.abs(moved - 1.0).max() < 0.3  # two rounds of about 0.5
    assert result.train_metrics_clientapp.keys() == {1, 2}
    assert result.evaluate_metrics_clientapp.keys() == {1, 2}
    assert result.evaluate_metrics_serverapp[0] == {"size": 3.0, "list": [0]}
    assert result.evaluate_metrics_serverapp.keys() == {0, 1, 2}


def test_flowers_own_loop_drives_it_to_the_same_bits(tmp_path: Path) -> None:
    expected = run(tmp_path / "ours", grid_of(members()), fraction_evaluate=1.0)
    strategy = RobustStrategy("median", byzantine=1, run_dir=tmp_path / "flowers")

    result = Strategy.start(
        strategy, grid_of(members()), to_record(initial_model()), num_rounds=2, timeout=60.0
    )
    strategy.close()

    assert digest(to_model(result.arrays)) == digest(expected.model)
    assert result.evaluate_metrics_clientapp == expected.result.evaluate_metrics_clientapp
    with RunStore.open(tmp_path / "flowers") as theirs, expected.record() as ours:
        assert theirs.verdicts() == ours.verdicts()
        assert theirs.scores() == ours.scores()


def test_aggregate_train_refuses_repeats_and_names_the_silent(tmp_path: Path) -> None:
    grid = grid_of(members(5))
    strategy = RobustStrategy("median", byzantine=1, run_dir=tmp_path)
    arrays = to_record(initial_model())
    questions = list(strategy.configure_train(1, arrays, ConfigRecord(), grid))
    replies = list(grid.send_and_receive(questions))

    moved, metrics = strategy.aggregate_train(1, [replies[0], *replies[:4], replies[2]])
    strategy.close()

    assert moved is not None
    assert metrics is not None
    with RunStore.open(tmp_path) as record:
        codes = [(v.client, v.code) for _, _, v in record.verdicts(1)]
    assert codes == [
        (client_of(0), "ok"), (client_of(0), "duplicate"), (client_of(1), "ok"),
        (client_of(2), "ok"), (client_of(3), "ok"), (client_of(2), "duplicate"),
        (client_of(4), "silent"),
    ]  # fmt: skip


class ShuffledGrid(InProcessGrid):
    """Replies come in another order than the questions went out."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        last = max(message_ids, key=lambda known: int(known.rpartition("-")[2]))
        return super().pull_messages([last])


@pytest.mark.parametrize("defense", ["mean", "nnm | trimmed_mean", "clip | weighted_mean"])
def test_the_order_of_arrival_changes_no_bit(defense: str, tmp_path: Path) -> None:
    shuffled = ShuffledGrid([InProcessClient(app) for app in members()])

    outcomes = [
        run(tmp_path / "straight", grid_of(members()), defense=defense),
        run(tmp_path / "shuffled", shuffled, defense=defense),
    ]

    assert outcomes[0].bits == outcomes[1].bits
    order, scores = [], []
    for outcome in outcomes:
        with outcome.record() as record:
            order.append([verdict.client for _, _, verdict in record.verdicts(1)])
            scores.append(record.scores())
    assert order[0] == list(reversed(order[1]))
    assert scores[0] == scores[1]
    assert sum(score.signal == "norm" for _, score in scores[0]) == 2 * 7


def test_the_server_holds_the_matrix_and_about_two_replies(tmp_path: Path) -> None:
    n, d = 20, 1_000_000
    model = {"w": np.zeros(d, np.float32)}
    sent = Array(np.ones(d, np.float32))

    def app(message: Message, _: Context) -> Message:
        data = b"".join([sent.data[:-4], sent.data[-4:]])  # of its own, as from a network
        array = Array(sent.dtype, sent.shape, sent.stype, data)
        return Message(RecordDict({"arrays": ArrayRecord({"w": array})}), reply_to=message)

    grid = grid_of([app] * n)
    strategy = RobustStrategy(
        "median", byzantine=1, run_dir=tmp_path, scorers=(), fraction_evaluate=0
    )
    peaks = []
    closing = strategy._close_training

    def measured(
        number: int, replies: Iterable[Reply]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        def watched() -> Iterator[Reply]:
            tracemalloc.reset_peak()
            yield from replies
            peaks.append(tracemalloc.get_traced_memory()[1] - before)

        before = tracemalloc.get_traced_memory()[0]
        return closing(number, watched())

    strategy._close_training = measured  # type: ignore[method-assign]  # to look inside a round
    row_norms(np.zeros((1, d), np.float32))  # the compiler is loaded once, and not by this round
    tracemalloc.start()
    strategy.start(grid=grid, initial_arrays=to_record(model), num_rounds=1)
    tracemalloc.stop()

    reply = len(sent.data)
    assert len(peaks) == 1
    # The flat form of the model that was sent is held beside matrix and replies.
    assert n * reply < peaks[0] < (n + 1 + 3.5) * reply


def test_counters_are_kept_apart_from_weights(tmp_path: Path) -> None:
    model: Model = {
        "w": np.zeros(3, np.float32),
        "batches": np.array([1, 2], np.int64),
        "seen": np.array([True, False]),
        "tiny": np.array(250, np.uint8),
    }

    def answer(message: Message, index: int) -> RecordDict:
        received = model_of(message.content)
        return RecordDict(
            {
                "arrays": to_record(
                    {
                        "w": received["w"] + np.float32(1),
                        "batches": received["batches"] + (10**15 if index == 3 else 5),
                        "seen": ~received["seen"],
                        "tiny": received["tiny"] + np.uint8(3),
                    }
                )
            }
        )

    apps = [
        lambda message, _, i=index: Message(answer(message, i), reply_to=message)
        for index in range(5)
    ]

    outcome = run(tmp_path, grid_of(apps), defense="nnm | median", model=model, rounds=1)

    assert {name: values.dtype for name, values in outcome.model.items()} == {
        name: values.dtype for name, values in model.items()
    }
    assert outcome.model["batches"].tolist() == [6, 7]
    assert outcome.model["seen"].tolist() == [False, True]
    assert outcome.model["tiny"].item() == 253
    assert outcome.model["w"].tolist() == [1.0] * 3
    with outcome.record() as record:  # a counter of 10**15 is no distance between gradients
        assert {score.z for _, score in record.scores()} == {0.0}


def test_a_model_that_no_record_explains_is_not_returned(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(RunStore, "add_round", full)

    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        run(tmp_path, grid_of(members()))

    assert not (tmp_path / "model.safetensors").exists()


def test_the_file_and_the_record_tell_the_model_that_was_returned(tmp_path: Path) -> None:
    from safetensors.numpy import load_file  # noqa: PLC0415 - one use

    outcome = run(tmp_path, grid_of(members()))

    stored = load_file(tmp_path / "model.safetensors")
    assert {name: values.tobytes() for name, values in stored.items()} == outcome.bits
    with outcome.record() as record:
        assert record.rounds()[-1]["model"] == digest(outcome.model)


def test_a_draw_of_clients_repeats(tmp_path: Path) -> None:
    def asked(name: str, seed: int) -> list[list[str]]:
        outcome = run(tmp_path / name, grid_of(members()), fraction_train=0.5, rounds=4, seed=seed)
        with outcome.record() as record:
            assert {row["asked"] for row in record.rounds()} == {4}
            return [
                sorted(v.client for _, _, v in record.verdicts(number)) for number in range(1, 5)
            ]

    first = asked("first", 1)

    assert first == asked("again", 1)
    assert first != asked("other", 2)
    assert len({tuple(names) for names in first}) > 1


def test_phases_and_rules_draw_from_streams_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing, playing = Mock(wraps=sample), Mock(wraps=run_round)
    monkeypatch.setattr(strategy_module, "sample", drawing)
    monkeypatch.setattr(strategy_module, "run_round", playing)

    run(tmp_path, grid_of(members()), rounds=2, fraction_evaluate=1.0)

    streams = [np.random.default_rng(call.kwargs["seed"]) for call in drawing.call_args_list]
    streams += [call.kwargs["rng"] for call in playing.call_args_list]  # no median draws from it
    assert len({stream.random() for stream in streams}) == len(streams) == 3 * 2
