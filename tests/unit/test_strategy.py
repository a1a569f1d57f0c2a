"""``RobustStrategy`` as a Flower strategy: drop-in, repeatable, frugal, recorded."""

from __future__ import annotations

import sqlite3
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.server.digest import digest
from quickthorn.server.model import to_model, to_record
from quickthorn.server.store import RunStore
from quickthorn.server.strategy import RobustStrategy
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.kernels.rows import row_norms
from tests.federations import (
    Member,
    client_of,
    grid_of,
    initial_model,
    members,
    model_of,
    npy,
    raw,
    run,
    with_array,
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


@pytest.mark.parametrize(
    ("count", "quorum", "reason"),
    [
        (0, None, "0 valid updates, the defense needs 3 (byzantine=1)"),
        (2, None, "2 valid updates, the defense needs 3 (byzantine=1)"),
        (4, 5, "4 valid updates, the defense needs 5 (byzantine=1)"),
    ],
)
def test_too_few_leave_the_model_unchanged(
    count: int, quorum: int | None, reason: str, tmp_path: Path
) -> None:
    outcome = run(tmp_path, grid_of(members(count)), quorum=quorum)

    assert digest(outcome.model) == digest(initial_model())
    assert outcome.result.train_metrics_clientapp == {}
    with outcome.record() as record:
        for row in record.rounds():
            assert (row["status"], row["reason"], row["asked"]) == ("unchanged", reason, count)
            assert row["model"] == digest(initial_model())
        assert {score.client for _, score in record.scores()} == {
            client_of(i) for i in range(count)
        }


def test_the_optimizer_moves_the_model_and_remembers(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", grid_of(members()), rounds=1)
    same = run(tmp_path / "same", grid_of(members()), rounds=1, optimizer="sgd")
    fast = run(tmp_path / "fast", grid_of(members()), optimizer="momentum(beta=0.5)")

    assert plain.bits == same.bits
    start = initial_model()["w"]
    one, two = (outcome.model["w"] - start for outcome in (plain, fast))
    assert np.abs(two - 2.5 * one).max() < 0.3  # two like steps, and half of the first again
    with fast.record() as record:
        assert record.meta()["optimizer"] == "momentum(beta=0.5)"
        assert [row["status"] for row in record.rounds()] == ["aggregated"] * 2


def test_a_rule_with_memory_gets_its_state_back(tmp_path: Path) -> None:
    """Clipped around the previous aggregate, the second step reaches twice as far."""
    outcome = run(tmp_path, grid_of(members()), defense="centered_clipping(radius=0.01)", rounds=2)
    moved = outcome.model["w"] - initial_model()["w"]
    everything = np.concatenate(
        [moved.ravel(), (outcome.model["b"] - initial_model()["b"]).ravel()]
    )
    assert np.linalg.norm(everything) == pytest.approx(0.01 + 0.02, rel=0.02)


def test_bucketing_draws_anew_in_every_round_and_repeats_with_the_seed(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / str(number), grid_of(members()), defense="bucketing | median", seed=seed)
        for number, seed in enumerate([3, 3, 4])
    ]
    assert runs[0].bits == runs[1].bits != runs[2].bits


class LeavingGrid(InProcessGrid):
    """One node fewer at every look."""

    looks = 0

    def get_node_ids(self) -> Iterable[int]:
        self.looks += 1
        return list(super().get_node_ids())[: 6 - self.looks]


def test_nodes_that_leave_shrink_the_rounds_until_the_quorum(tmp_path: Path) -> None:
    grid = LeavingGrid([InProcessClient(app) for app in members(5)])

    outcome = run(tmp_path, grid, rounds=4, patience=0.0)

    with outcome.record() as record:
        rows = [(row["asked"], row["status"]) for row in record.rounds()]
    assert rows == [(5, "aggregated"), (4, "aggregated"), (3, "aggregated"), (2, "unchanged")]


class RejectingGrid(InProcessGrid):
    """Takes no message."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return []


def test_where_nothing_can_be_sent_the_round_ends_at_once(tmp_path: Path) -> None:
    grid = RejectingGrid([InProcessClient(app) for app in members(3)])

    outcome = run(tmp_path, grid, rounds=1)

    with outcome.record() as record:
        assert [v.code for _, _, v in record.verdicts()] == ["unreachable"] * 3


def test_a_fraction_of_zero_asks_nobody(tmp_path: Path) -> None:
    asked = members(3)

    outcome = run(tmp_path, grid_of(asked), rounds=1, fraction_train=0.0)

    assert [member.calls for member in asked] == [0, 0, 0]
    with outcome.record() as record:
        assert record.rounds()[0]["status"] == "unchanged"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_at_the_end_of_its_range_stops_nothing(dtype: type, tmp_path: Path) -> None:
    most = np.finfo(dtype).max
    model: Model = {"w": np.array([most, -most, 1.0], dtype)}

    def flip(_: Message, content: RecordDict) -> RecordDict:
        return with_array(content, "w", -model["w"])

    def shrink(_: Message, content: RecordDict) -> RecordDict:
        return with_array(content, "w", model["w"] / dtype(4))

    apps = [Member(0, spoil=flip), *(Member(i, spoil=shrink) for i in range(1, 6))]

    outcome = run(tmp_path, grid_of(apps), defense="nnm | median", model=model, rounds=1)

    assert all(np.isfinite(values).all() for values in outcome.model.values())
    with outcome.record() as record:
        codes = {v.client: v.code for _, _, v in record.verdicts()}
    assert codes[client_of(0)] == "implausible"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction_train": 1.1}, "fraction_train must be from 0 to 1"),
        ({"fraction_evaluate": -0.1}, "fraction_evaluate must be from 0 to 1"),
        ({"seed": -1}, "seed must be an integer, 0 or more"),
        ({"byzantine": -1}, "byzantine must be 0 or more"),
        ({"scorers": ("nrom",)}, "did you mean 'norm'"),
        ({"quorum": -5}, "quorum must be an integer, 0 or more"),
        ({"patience": -1.0}, "patience must be 0 seconds or more"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RobustStrategy("median", **{"byzantine": 1, **options})


def test_a_model_without_floats_is_the_programmers_mistake(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="no floating-point tensor"):
        run(tmp_path, grid_of(members(3)), model={"steps": np.array(1)})


def test_a_second_run_does_not_write_over_the_first(tmp_path: Path) -> None:
    first = run(tmp_path, grid_of(members(3)), rounds=1)

    with pytest.raises(ConfigurationError, match="already holds the record of a run"):
        run(tmp_path, grid_of(members(3)), rounds=1)

    with first.record() as record:
        assert len(record.rounds()) == 1


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_a_round_without_time_is_refused(timeout: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be above 0 seconds"):
        run(tmp_path, grid_of(members(3)), timeout=timeout)


def test_an_occupied_folder_is_noticed_before_anybody_is_kept_waiting(tmp_path: Path) -> None:
    run(tmp_path, grid_of(members(3)), rounds=1)
    asked = members(3)

    with pytest.raises(ConfigurationError, match="already holds the record of a run"):
        run(tmp_path, grid_of(asked), rounds=1, min_available_clients=9, patience=600.0)

    assert [member.calls for member in asked] == [0, 0, 0]


def test_one_strategy_may_be_started_again_and_begins_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    strategy = RobustStrategy("centered_clipping", byzantine=1, fraction_evaluate=0.0)
    folders, models = [], []

    for _ in range(2):
        result = strategy.start(grid_of(members(5)), to_record(initial_model()), num_rounds=2)
        folders.append(strategy.run_dir)
        models.append(to_model(result.arrays))

    assert folders[0] != folders[1]
    assert all((folder / "run.sqlite").is_file() for folder in folders)
    assert all(models[0][name].tobytes() == models[1][name].tobytes() for name in models[0])


def test_a_model_with_nan_is_the_programmers_mistake(tmp_path: Path) -> None:
    model: Model = {"w": np.array([1.0, np.nan], np.float32)}

    with pytest.raises(UpdateError, match="initial_arrays hold NaN or infinity"):
        run(tmp_path, grid_of(members(3)), model=model)


# Anything that a client app may return; the federation must run, and end, whatever it is.
_TEXT = st.text(st.characters(), max_size=6) | st.sampled_from(["\ud800", "\0", "", "x" * 10_000])
_NUMBER = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**64])
_METRICS = st.dictionaries(
    st.just("num-examples") | _TEXT, _NUMBER | st.lists(st.integers(), max_size=2), max_size=3
).map(lambda found: MetricRecord(dict(found)))
_BYTES = st.binary(max_size=60).map(raw) | st.builds(
    npy, st.text(st.characters(max_codepoint=255), max_size=40), st.binary(max_size=20)
)
_ARRAYS = st.dictionaries(
    st.sampled_from(["w", "b", "steps"]) | _TEXT,
    _BYTES | st.floats(width=32).map(lambda value: Array(np.full((2, 3), value, np.float32))),
    max_size=3,
).map(ArrayRecord)
_CONTENT = st.dictionaries(st.just("arrays") | _TEXT, _ARRAYS | _METRICS, max_size=3).map(
    lambda found: RecordDict(dict(found))
)
_ERROR = st.builds(Error, st.integers() | st.just(10**400), st.none() | _TEXT)
_FORGED = st.dictionaries(
    st.sampled_from(["src_node_id", "group_id", "message_type", "ttl", "run_id", "dst_node_id"]),
    st.none() | st.integers() | st.just(10**400) | _TEXT,
    max_size=2,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=_CONTENT | _ERROR, judge=_CONTENT | _ERROR, forged=_FORGED)
def test_no_client_can_make_the_strategy_raise(
    train: RecordDict | Error,
    judge: RecordDict | Error,
    forged: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def hostile(message: Message, _: Context) -> Message:
        reply = Message(
            train if message.metadata.message_type == "train" else judge, reply_to=message
        )
        reply.metadata.__dict__.update({f"_{name}": value for name, value in forged.items()})
        return reply

    folder = tmp_path_factory.mktemp("fuzz") / "run"
    grid = grid_of([hostile, *members(3)])

    outcome = run(folder, grid, rounds=1, fraction_evaluate=1.0, timeout=5.0)

    with outcome.record() as record:
        assert record.rounds()[0]["status"] == "aggregated"
        assert len(record.verdicts()) == 8
