"""Rounds of ``RobustStrategy``: when the model moves, by what, and when it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.server.digest import digest
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from tests.federations import (
    Member,
    client_of,
    grid_of,
    initial_model,
    members,
    run,
    with_array,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flwr.app import Message, RecordDict

    from tests.federations import Model


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
