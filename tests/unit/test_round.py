"""A round as a pure function: it moves the model, or says in words why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, build
from quickthorn.strategies.round import RoundOutcome, run_round

WEIGHTS = np.array([1.0, -1.0], np.float32)


def play(
    rows: dict[str, list[float]],
    *,
    counters: list[np.ndarray[Any, Any]] | None = None,
    **options: Any,  # noqa: ANN401 - whatever a round takes
) -> RoundOutcome:
    matrix = UpdateMatrix.of({name: np.array(row, np.float32) for name, row in rows.items()})
    given = [np.empty(0, np.int64)] * len(rows) if counters is None else counters
    settings: dict[str, Any] = {"quorum": 3, "weights": WEIGHTS, **options}
    return run_round(
        build(settings.pop("defense", "median"), byzantine=1), matrix, counters=given, **settings
    )


ROWS = {"a": [1.0, 0.0], "b": [2.0, 0.0], "c": [30.0, -5.0]}


def test_the_aggregate_is_added_to_the_model() -> None:
    outcome = play(ROWS)

    assert outcome.weights is not None
    assert outcome.weights.tolist() == [3.0, -1.0]
    assert outcome.weights.dtype == np.dtype(np.float32)
    assert outcome.reason == ""
    assert outcome.influence is None


def test_influence_is_by_client() -> None:
    assert play(ROWS, defense="mean").influence == pytest.approx(
        {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    )


@pytest.mark.parametrize(
    ("names", "quorum", "reason"),
    [
        ("ab", 0, "2 valid updates, the defense needs 3 (byzantine=1)"),
        ("abc", 4, "3 valid updates, the defense needs 4 (byzantine=1)"),
    ],
)
def test_too_few_leave_the_model_as_it_is(names: str, quorum: int, reason: str) -> None:
    outcome = play({name: ROWS[name] for name in names}, quorum=quorum, state={"kept": 1})

    assert (outcome.weights, outcome.counters) == (None, None)
    assert outcome.reason == reason
    assert outcome.state == {"kept": 1}
    assert {score.client for score in outcome.scores} == set(names)


def test_a_fault_that_the_caller_knows_leaves_the_model_and_still_scores() -> None:
    outcome = play(ROWS, fault="the server's own update failed", state={"kept": 1})

    assert outcome.weights is None
    assert outcome.reason == "the server's own update failed"
    assert outcome.state == {"kept": 1}
    assert outcome.scores


def test_the_servers_own_update_reaches_the_rule_and_its_lack_is_a_reason() -> None:
    outcome = play(ROWS, defense="fltrust", trusted=np.array([0.0, 2.0], np.float32))

    assert outcome.weights is not None
    assert outcome.weights.tolist() == [1.0, -1.0]  # nobody goes that way
    missing = play(ROWS, defense="fltrust")
    assert missing.weights is None
    assert missing.reason.startswith("fltrust needs the server's own update")


def test_nobody_leaves_the_model_as_it_is() -> None:
    outcome = run_round(build("median", byzantine=1), None, weights=WEIGHTS, counters=[], quorum=0)

    assert (outcome.weights, outcome.scores) == (None, ())
    assert outcome.reason == "0 valid updates, the defense needs 3 (byzantine=1)"


def test_a_result_that_is_not_finite_leaves_the_model_as_it_is() -> None:
    most = float(np.finfo(np.float32).max)
    edge = np.full(2, most, np.float32)

    outcome = play({name: [most, 0.0] for name in "abc"}, weights=edge)

    assert outcome.weights is None
    assert outcome.reason == "median made a model with NaN or infinity out of 3 updates"
    assert outcome.scores


@pytest.mark.parametrize(
    ("sent", "middle"),
    [([5, 7, 9], 7), ([5, 7, 9, 2**62], 7), ([-(2**62), 5, 7, 9], 5), ([1, 1, 0], 1), ([3], 3)],
)
def test_a_counter_becomes_the_lower_median_of_what_was_sent(sent: list[int], middle: int) -> None:
    rows = {f"c{number}": [0.0, 0.0] for number in range(len(sent))}

    outcome = run_round(
        build("mean", byzantine=0),
        UpdateMatrix.of({name: np.array(row, np.float32) for name, row in rows.items()}),
        weights=WEIGHTS,
        counters=[np.array([value]) for value in sent],
        quorum=1,
    )

    assert outcome.counters is not None
    assert outcome.counters.tolist() == [middle]
