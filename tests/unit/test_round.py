"""A round as a pure function: it moves the model, or says in words why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, build
from quickthorn.strategies import round as round_module
from quickthorn.strategies.round import RoundOutcome, run_round
from quickthorn.strategies.updates import ModelLayout

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


def test_a_model_of_float16_does_not_become_infinite() -> None:
    layout = ModelLayout.of({"w": np.zeros(2, np.float16)})
    rows = {name: [9e4, 0.0] for name in "abc"}
    outcome = play(rows, layout=layout)
    assert outcome.weights is None
    assert outcome.reason == "median made a model with NaN or infinity out of 3 votes"
    assert play(rows).weights is not None  # in float32 it is a number


def test_influence_is_by_client() -> None:
    assert play(ROWS, defense="mean").influence == pytest.approx(
        {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}
    )


def kept_by_the_rules(outcome: RoundOutcome) -> dict[str, Any]:
    return {key: value for key, value in (outcome.state or {}).items() if key != "scorers"}


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
    assert kept_by_the_rules(outcome) == {"kept": 1}
    assert {score.client for score in outcome.scores} == set(names)


def test_a_fault_that_the_caller_knows_leaves_the_model_and_still_scores() -> None:
    outcome = play(ROWS, fault="the server's own update failed", state={"kept": 1})

    assert outcome.weights is None
    assert outcome.reason == "the server's own update failed"
    assert kept_by_the_rules(outcome) == {"kept": 1}
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
    assert outcome.reason == "median made a model with NaN or infinity out of 3 votes"
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


NINE = {f"h{number}": [1.0 + number / 10, 0.0] for number in range(9)}


def test_the_excluded_are_scored_and_not_aggregated() -> None:
    hostile = {"b0": [500.0, 1.0], "x": [400.0, 2.0]}
    counters = [np.array([value]) for value in (90, *range(9), 90)]

    shadow = play(NINE | hostile, excluded={"b0", "x"}, defense="mean", counters=counters)
    without = play(NINE, defense="mean", counters=counters[1:-1])

    assert shadow.weights is not None
    assert without.weights is not None
    assert shadow.weights.tobytes() == without.weights.tobytes()
    assert shadow.counters is not None
    assert shadow.counters.tolist() == [4]
    assert shadow.influence == {**(without.influence or {}), "b0": 0.0, "x": 0.0}
    assert {score.client for score in shadow.scores} == {*NINE, *hostile}
    assert max(shadow.scores, key=lambda score: score.z).client in hostile


def test_signals_compare_what_votes_received(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither quarantine nor further nodes make an honest client look distrusted by the rule."""
    seen: dict[str, Any] = {}

    def spy(*_: object, **given: object) -> tuple[tuple[()], None]:
        seen.update(given)
        return (), None

    monkeypatch.setattr(round_module, "score_updates", spy)
    play(NINE, defense="mean", excluded={"h3"}, organizations={"h0": "North", "h8": "North"})
    assert seen["influence"] == pytest.approx(dict.fromkeys(NINE.keys() - {"h3"}, 1.0))


@pytest.mark.parametrize(
    ("excluded", "together", "needed", "counted", "because"),
    [
        ("", "", 10, "9", ""),
        ("ab", "", 8, "7 votes of 9", "; 2 in quarantine"),
        ("a", "bcd", 8, "6 votes of 9", "; 1 in quarantine; 3 nodes share 1 of the votes"),
        ("abcdefghi", "", 3, "0 votes of 9", "; 9 in quarantine"),
    ],
)
def test_the_quorum_counts_votes_and_the_reason_says_so(
    excluded: str, together: str, needed: int, counted: str, because: str
) -> None:
    rows = {name: [1.0, 0.0] for name in "abcdefghi"}

    outcome = play(
        rows, quorum=needed, excluded=set(excluded), organizations=dict.fromkeys(together, "North")
    )

    assert outcome.weights is None
    reason = f"{counted} valid updates, the defense needs {needed} (byzantine=1){because}"
    assert outcome.reason == reason
    assert {score.client for score in outcome.scores} == set(rows)


def test_the_nodes_of_an_organization_share_its_influence_and_its_say_on_counters() -> None:
    rows = {**NINE, **{f"s{number}": [9.0, 9.0] for number in range(10)}}
    counters = [np.array([value]) for value in (*range(9), *[99] * 10)]

    outcome = play(
        rows,
        counters=counters,
        defense="mean",
        organizations={name: "Sybil" for name in rows if name not in NINE},
    )

    assert outcome.counters is not None
    assert outcome.counters.tolist() == [4]  # of 0 to 8 and one 99
    shares = {name: 0.1 if name in NINE else 0.01 for name in rows}
    assert outcome.influence == pytest.approx(shares)


@pytest.mark.parametrize("defense", ["median", "krum"])
def test_five_nodes_of_one_organization_do_no_more_harm_than_one(defense: str) -> None:
    """Nine honest clients, and a liar who runs as many nodes as it likes, with f = 1."""
    rng = np.random.default_rng(5)
    honest = {f"h{number}": row.tolist() for number, row in enumerate(rng.normal(size=(9, 40)))}
    middle = np.mean(list(honest.values()), axis=0)

    def harm(nodes: int, *, counted: bool) -> float:
        """Return the largest distance from the honest mean over many collusions."""
        names = [f"s{number}" for number in range(nodes)]
        worst = 0.0
        for size in (0.5, 1.0, 1.4, 2.0, 10.0, 1e6):
            for spread in (0.0, 0.01, 3.0):
                goal = np.full(40, -size) + spread * rng.normal(size=(nodes, 40))
                outcome = play(
                    honest | dict(zip(names, goal.tolist(), strict=True)),
                    weights=np.zeros(40, np.float32),
                    defense=defense,
                    organizations=dict.fromkeys(names, "Sybil") if counted else {},
                )
                assert outcome.weights is not None
                worst = max(worst, float(np.linalg.norm(outcome.weights - middle)))
        return worst

    assert harm(5, counted=True) <= 1.1 * harm(1, counted=True)
    assert harm(5, counted=False) > 1.5 * harm(1, counted=True)  # what it is for
