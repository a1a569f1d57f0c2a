"""How a round scores: after the aggregation, with what that gave, and with a memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import Defense, Spec, UpdateMatrix, build, facts, scoring
from quickthorn.strategies.aggregators import median as median_rule
from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.facts import Facts
from quickthorn.strategies.kernels import pairwise
from quickthorn.strategies.optimizer import build_optimizer
from quickthorn.strategies.registry import SCORERS, find
from quickthorn.strategies.round import RoundOutcome, run_round
from quickthorn.strategies.scoring import Signal, score_updates
from quickthorn.strategies.updates import ModelLayout
from quickthorn.strategies.votes import Votes
from tests.states import through_json_and_npz

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MATRIX = UpdateMatrix.of(
    {c: np.array([1.0, x], np.float32) for c, x in zip("abcd", range(4), strict=True)}
)
LAYOUT = ModelLayout.of({"w": np.zeros(2, np.float32)})


def share(
    _facts: Facts, *, influence: Mapping[str, float] | None, clients: Sequence[str]
) -> Signal:
    """Measure the share that the rule gave; nothing is known where it says none."""
    shares = np.array([(influence or {}).get(client, np.nan) for client in clients])
    return Signal(shares, -shares, False, 0.01, "got {value:.2f}", known=np.isfinite(shares))


def held_out(_facts: Facts, *, layout: ModelLayout, held: Sequence[float]) -> Signal:
    """Pass on what the server measured, in units of the number of tensors."""
    values = np.array(held) * len(layout.tensors)
    return Signal(values, values, False, 0.01, "")


SPECS = {
    function.__name__: Spec(
        name=function.__name__,
        kind="scorer",
        apply=function,
        min_clients=lambda _byzantine: 1,
        complexity="",
        reference="",
    )
    for function in (share, held_out)
}


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "find", lambda kind, name: SPECS.get(name) or find(kind, name))


def play(*scorers: str, defense: str | Defense = "mean", **options: Any) -> RoundOutcome:  # noqa: ANN401 - a round's
    return run_round(
        build(defense, byzantine=0) if isinstance(defense, str) else defense,
        MATRIX,
        weights=np.zeros(2, np.float32),
        counters=[np.empty(0, np.int64)] * 4,
        scorers=scorers,
        **{"quorum": 1, **options},
    )


def test_what_the_rule_gave_is_known_to_a_signal() -> None:
    scores = play("share", defense="krum").scores

    assert sorted(score.value for score in scores) == [0.0, 0.0, 0.0, 4.0]
    assert play("share", defense="median").scores == ()


def test_an_equal_share_is_that_of_a_vote_and_who_has_none_is_not_judged_by_it() -> None:
    scores = play("share", excluded={"b"}, organizations={"a": "North", "d": "North"}).scores

    assert [(score.client, score.value) for score in scores] == [("a", 1.0), ("c", 1.0), ("d", 1.0)]


def test_of_whom_a_signal_knows_nothing_there_is_no_score_and_the_others_compare() -> None:
    scores, _ = score_updates(
        MATRIX, byzantine=1, scorers=["share"], influence={"a": 0.5, "c": 0.25, "d": 0.5}
    )

    assert [(score.client, score.value) for score in scores] == [
        ("a", 0.5),
        ("c", 0.25),
        ("d", 0.5),
    ]
    assert scores[1].reason == "update got 0.25"


def test_updates_are_scored_after_they_were_aggregated() -> None:
    stages = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        stages.append(name)
        yield

    play("share", stage=stage)

    assert stages == ["aggregate", "score"]


def test_what_signals_keep_goes_from_round_to_round_beside_the_state_of_the_rules() -> None:
    outcome = play("growth", optimizer=build_optimizer("momentum"))
    for options in ({}, {"fault": "no root"}, {"quorum": 9}, {}):
        assert outcome.state is not None
        stored = through_json_and_npz(outcome.state)
        outcome, again = (
            play("growth", state=kept, optimizer=build_optimizer("momentum"), **options)
            for kept in (outcome.state, stored)
        )
        assert again.scores == outcome.scores
        assert (outcome.weights is None) == bool(options)

    assert outcome.state is not None
    assert set(outcome.state) == {"scorers", "optimizer:momentum"}
    assert outcome.state["scorers"]["rounds"] == 5
    silent = run_round(
        build("mean", byzantine=0),
        None,
        weights=np.zeros(2),
        counters=[],
        quorum=0,
        state=outcome.state,
    )
    assert silent.state is outcome.state


def test_a_signal_is_handed_the_layout_and_what_the_server_measured() -> None:
    scores = play("held_out", layout=LAYOUT, held=[1.0, 2.0, 3.0, 4.0]).scores

    assert [score.value for score in scores] == [1.0, 2.0, 3.0, 4.0]


def test_a_layout_of_another_model_is_refused() -> None:
    wide = ModelLayout.of({"w": np.zeros(3, np.float32)})

    with pytest.raises(UpdateError, match="scoring got updates of 2 columns and a layout of 3"):
        score_updates(MATRIX, byzantine=1, scorers=[], known=Facts(MATRIX.values, wide))


RULES = ["median", "krum", "multi_krum", "bulyan", "geometric_median", "nnm | krum", "clip | krum"]


@pytest.mark.parametrize("rule", RULES)
def test_what_rule_and_signals_share_changes_no_bit(rule: str) -> None:
    values = np.random.default_rng(0).normal(size=(12, 30)).astype(np.float32)
    matrix = UpdateMatrix(values, tuple("abcdefghijkl"))
    defense, known = build(rule, byzantine=2), Facts(matrix.values)
    alone, _ = score_updates(matrix, byzantine=2, scorers=SCORERS)

    shared, bare = (defense.aggregate(matrix, known=k) for k in (known, None))
    scores, _ = score_updates(matrix, byzantine=2, scorers=SCORERS, known=known)

    assert shared.vector.tobytes() == bare.vector.tobytes()
    np.testing.assert_array_equal(shared.influence, bare.influence)
    assert not np.shares_memory(shared.vector, known.center)
    assert scores == alone


@pytest.mark.parametrize("rule", ["median", "krum", "nnm | trimmed_mean", "geometric_median"])
def test_a_round_reads_for_its_signals_what_its_rule_has_not(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    defense = build(rule, byzantine=0)  # which tries the rule
    for name in ("gram", "middle_mean"):
        for module in (facts, pairwise, median_rule):
            kernel = getattr(module, name, None)
            if kernel is not None:
                monkeypatch.setattr(module, name, counted(kernel, name, calls))

    play("krum_distance", "similarity", "cosine", defense=defense)

    assert sorted(calls) == ["gram", "middle_mean"]


def test_where_votes_are_not_the_rows_nothing_is_shared() -> None:
    values = np.random.default_rng(0).normal(size=(9, 4))
    matrix, votes = UpdateMatrix(values, tuple("abcdefghi")), Votes.of("abcdefghi", excluded={"b"})
    defense = build("median", byzantine=1)

    shared = defense.aggregate(matrix, votes=votes, known=Facts(matrix.values))

    expected = np.median(np.delete(values, 1, axis=0), axis=0)
    np.testing.assert_allclose(shared.vector, expected)


def counted(kernel: Any, name: str, calls: list[str]) -> Any:  # noqa: ANN401 - any function
    def count(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        calls.append(name)
        return kernel(*args, **kwargs)

    return count
