"""The server's own samples: what is measured there, and what a client's update does to it."""

from __future__ import annotations

import math
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.client.datasets import load_split
from quickthorn.client.held import HELD_SAMPLES, judge_on_held
from quickthorn.client.models import initial_state
from quickthorn.client.root import ROOT_SAMPLES, draw_root
from quickthorn.client.training import derive_seed
from quickthorn.server.held import judge_alone
from quickthorn.strategies import ModelLayout, UpdateMatrix
from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.held import HeldOut
from quickthorn.strategies.scoring import explain, score_updates
from quickthorn.strategies.wire import ClientSettings
from tests.faults import CULPRIT, cohort
from tests.federations import grid_of, initial_model, model_of, run, with_array

if TYPE_CHECKING:
    from pathlib import Path

    from flwr.app import Message, RecordDict
    from numpy.typing import NDArray

N = 12
MATRIX = UpdateMatrix.of({f"c{row:02}": np.full(3, float(row)) for row in range(N)})


def held_out(*, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return losses and recalls of honest clients; no update leaves the last class as it was."""
    rng = np.random.default_rng(seed)
    losses = 0.4 + 0.005 * rng.normal(size=N)
    recalls = np.clip(0.9 + 0.02 * rng.normal(size=(N, 5)), 0, 1)
    recalls[:, -1] = rng.uniform(size=N)
    return losses, recalls


def reasons(losses: NDArray[np.float64], recalls: NDArray[np.float64]) -> dict[str, str]:
    scores, _ = score_updates(
        MATRIX,
        byzantine=2,
        scorers=["held_loss", "held_recall"],
        held=HeldOut(0.5, losses, recalls),
    )
    assert len(scores) == 2 * N
    assert all(math.isfinite(score.value) and math.isfinite(score.z) for score in scores)
    return explain(scores)


def test_at_most_one_in_a_hundred_of_the_honest_stands_out() -> None:
    found = [len(reasons(*held_out(seed=seed))) for seed in range(100)]
    assert sum(found) / (100 * N) < 0.01


def test_what_more_than_f_do_is_no_lie() -> None:
    losses, recalls = held_out()
    losses[:3], recalls[:3, 1] = 0.8, 0.4  # f is 2: one of the three is honest
    assert reasons(losses, recalls) == {}
    losses[0], recalls[0, 1] = 2.5, 0.0
    assert set(reasons(losses, recalls)) == {"c00"}


def test_who_raises_the_loss_stands_out_with_the_figures() -> None:
    losses, recalls = held_out()
    losses[:] = np.linspace(0.38, 0.42, N)
    losses[2], losses[5] = 0.731, np.inf

    found = reasons(losses, recalls)

    assert found.keys() == {"c02", "c05"}
    assert found["c02"] == (
        "update alone takes the loss on the server's own samples from 0.5 to 0.731 "
        "(the others to 0.38 to 0.42)"
    )
    assert "from 0.5 to 500 (" in found["c05"]


def test_one_class_that_falls_is_named_also_beside_one_that_everybody_shakes() -> None:
    losses, recalls = held_out()
    recalls[3, 1] = 0.4

    found = reasons(losses, recalls)

    assert found.keys() == {"c03"}
    assert found["c03"].startswith(
        "update alone takes the recall of class 1 on the server's own samples 0.5"
    )


def test_a_class_without_samples_is_left_out_and_no_class_is_no_signal() -> None:
    losses, recalls = held_out()
    recalls[3, 1] = 0.4
    recalls[:, 0] = np.nan
    assert "class 1 on" in reasons(losses, recalls)["c03"]

    scores, _ = score_updates(MATRIX, byzantine=2, held=HeldOut(0.5, losses, recalls[:, :0]))
    assert {score.signal for score in scores} >= {"held_loss"}
    assert "held_recall" not in {score.signal for score in scores}


def test_without_a_held_set_the_signals_say_nothing() -> None:
    scores, _ = score_updates(MATRIX, byzantine=2)
    assert {score.signal for score in scores}.isdisjoint({"held_loss", "held_recall"})
    assert scores


@pytest.mark.parametrize(
    ("loss", "shape", "says"),
    [
        (math.nan, (N, 5), "must be finite"),
        (0.5, (N - 1, 5), "recalls of shape"),
        (0.5, (N,), "recalls of shape"),
    ],
)
def test_what_does_not_fit_is_an_error(loss: float, shape: tuple[int, ...], says: str) -> None:
    with pytest.raises(UpdateError, match=says):
        HeldOut(loss, np.ones(N), np.ones(shape))


SENT = {"w": np.array([[1.0, 2.0]]), "b": np.array([3.0]), "steps": np.array(7)}
LAYOUT = ModelLayout.of(SENT)
WEIGHTS, COUNTERS = LAYOUT.flatten(SENT)


def alone(held: Any, matrix: UpdateMatrix = MATRIX) -> HeldOut | None:  # noqa: ANN401 - also wrong ones
    return judge_alone(held, 4, matrix, LAYOUT, WEIGHTS, COUNTERS)


def total(_: int, model: dict[str, Any]) -> tuple[float, list[float]]:
    value = float(model["w"].sum() + model["b"].sum())
    return value, [value / 100, math.nan]


def test_each_update_is_applied_alone_and_may_be_overwritten() -> None:
    seen = []

    def held(number: int, model: dict[str, Any]) -> tuple[float, list[float]]:
        seen.append((number, model["steps"].item(), model["w"].shape))
        found = total(number, model)
        model["w"] += 1e6
        return found

    found = alone(held)

    assert found is not None
    assert seen == [(4, 7, (1, 2))] * (N + 1)
    assert found.loss == 6.0
    assert found.losses.tolist() == [6.0 + 3 * row for row in range(N)]
    np.testing.assert_array_equal(found.recalls[:, 0], found.losses / 100)
    assert np.isnan(found.recalls[:, 1]).all()


def raises_at(*losses: float) -> Any:  # noqa: ANN401 - a function as ``held``
    def held(number: int, model: dict[str, Any]) -> tuple[float, list[float]]:
        found = total(number, model)
        if found[0] in losses:
            raise ValueError("input contains \x1b NaN")
        return found

    return held


def nan_at(*losses: float) -> Any:  # noqa: ANN401 - as above
    def held(number: int, model: dict[str, Any]) -> tuple[float, list[float]]:
        found = total(number, model)
        return (math.nan, found[1]) if found[0] in losses else found

    return held


def other_classes_at(*losses: float) -> Any:  # noqa: ANN401 - as above
    def held(number: int, model: dict[str, Any]) -> tuple[float, list[float]]:
        found = total(number, model)
        return (found[0], [math.nan, 0.5]) if found[0] in losses else found

    return held


@pytest.mark.parametrize("fault", [raises_at, nan_at, other_classes_at])
def test_a_client_cannot_switch_it_off_for_the_others(
    fault: Any,  # noqa: ANN401 - as above
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = alone(fault(9.0, 12.0))

    assert found is not None
    assert np.flatnonzero(np.isinf(found.losses)).tolist() == [1, 2]
    assert found.recalls[:3, 0].tolist() == [0.06, 0.0, 0.0]
    assert caplog.text == ""


@pytest.mark.parametrize("fault", [raises_at, nan_at])
@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([6.0], "the model that was sent"),
        ([9.0 + 3 * row for row in range(7)], "the updates of 7 of 12 clients"),
    ],
)
def test_a_fault_of_its_own_is_one_warning_and_no_signal(
    fault: Any,  # noqa: ANN401 - as above
    losses: list[float],
    says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert alone(fault(*losses)) is None
    (record,) = caplog.records
    assert f"round 4: no signals from the server's own samples; held failed with {says}: " in (
        record.getMessage()
    )
    assert record.getMessage().isprintable()


@pytest.mark.parametrize("found", [None, 0.5, (0.5,), (0.5, 0.7), (0.5, [[0.1]]), ("x", [0.1])])
def test_what_it_may_not_return_is_such_a_fault(
    found: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert alone(lambda _number, _model: found) is None
    assert len(caplog.records) == 1


def test_one_model_is_in_memory_at_a_time() -> None:
    d, n = 500_000, 8
    model = {"w": np.zeros(d, np.float32)}
    matrix = UpdateMatrix.of({str(row): np.ones(d, np.float32) for row in range(n)})
    layout = ModelLayout.of(model)
    tracemalloc.start()
    judge_alone(
        lambda _, m: (float(m["w"][0]), [1.0]), 1, matrix, layout, model["w"], np.empty(0, np.int64)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 4 * d


def backwards(_: Message, content: RecordDict) -> RecordDict:
    return with_array(content, "w", model_of(content)["w"] - np.float32(1))


def distance(_: int, model: dict[str, Any]) -> tuple[float, list[float]]:
    """Return how far the weights are from where the members go, as a loss."""
    far = float(np.abs(model["w"] - initial_model()["w"] - 2).mean())
    return far, [1 - far / 10]


def test_a_federation_records_what_its_server_sees(tmp_path: Path) -> None:
    found = run(tmp_path / "run", grid_of(cohort(backwards)), held=distance)
    plain = run(tmp_path / "plain", grid_of(cohort(backwards)))

    assert found.bits == plain.bits
    with found.record() as record:
        scores = [score for _, score in record.scores(1) if score.signal == "held_loss"]
        assert len(scores) == 7
        ((client, reason),) = [(score.client, score.reason) for score in scores if score.reason]
    assert client == CULPRIT
    assert reason.startswith("update alone takes the loss on the server's own samples from 2 ")


def test_a_held_set_that_fails_costs_its_signals_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(number: int, model: dict[str, Any]) -> tuple[float, list[float]]:
        if number == 1:
            raise OSError("the disk is full")
        return distance(number, model)

    found = run(tmp_path / "run", grid_of(cohort()), held=broken)

    with found.record() as record:
        assert [row["status"] for row in record.rounds()] == ["aggregated"] * 2
        signals = [{score.signal for _, score in record.scores(number)} for number in (1, 2)]
    assert signals[0].isdisjoint({"held_loss", "held_recall"})
    assert signals[1] >= signals[0] | {"held_loss", "held_recall"}
    assert caplog.text.count("OSError: the disk is full") == 1


SETTINGS = ClientSettings(dataset="digits")


def test_the_ready_made_one_judges_samples_of_every_class() -> None:
    loss, recalls = judge_on_held(SETTINGS)(1, initial_state(SETTINGS))
    assert 2.0 < loss < 2.7  # ten classes at random: ln 10
    assert len(recalls) == 10
    assert 0 < sum(recalls) / 10 < 0.4


def test_its_samples_are_not_those_of_the_root() -> None:
    labels = load_split("digits", "train").labels
    root = draw_root(labels, ROOT_SAMPLES, SETTINGS.seed)
    held = draw_root(labels, HELD_SAMPLES, derive_seed(SETTINGS.seed, (1 << 30) + 1))
    share = len(np.intersect1d(root, held)) / ROOT_SAMPLES
    assert share < 0.5  # by chance a fifth
