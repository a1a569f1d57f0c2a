"""What is remembered of clients, and the signals that compare a client with its own past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, past
from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.facts import Facts
from quickthorn.strategies.past import Past
from quickthorn.strategies.scorers.consistency import consistency
from quickthorn.strategies.scorers.drift import drift
from quickthorn.strategies.scorers.growth import growth
from quickthorn.strategies.scoring import explain, score_updates
from tests.states import through_json_and_npz

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.defense import State
    from quickthorn.strategies.updates import Score

NAMES = tuple(f"c{number:02}" for number in range(12))
OWN = ("consistency", "drift", "growth")


def honest(rounds: int, n: int = 12, d: int = 400) -> NDArray[np.float64]:
    """Draw the updates of clients with unequal data: each goes its own way, and not the same."""
    rng = np.random.default_rng(1)
    ways = rng.normal(size=(n, d)) * rng.uniform(0.3, 3.0, n)[:, None] + rng.normal(size=d)
    ways[0] *= -5.0
    steps = rng.normal(size=(rounds, 1, d))
    return ways + 0.3 * (steps.cumsum(axis=0) + rng.normal(size=(rounds, n, d)))


def play(
    rounds: Iterable[NDArray[Any]],
    scorers: Sequence[str] = OWN,
    state: State | None = None,
) -> tuple[list[tuple[Score, ...]], State | None]:
    found = []
    for rows in rounds:
        scores, state = score_updates(
            UpdateMatrix(rows, NAMES[: len(rows)]), byzantine=2, scorers=scorers, state=state
        )
        found.append(scores)
    return found, state


def marked(rounds: NDArray[np.float64], scorer: str) -> list[set[str]]:
    return [set(explain(scores)) for scores in play(rounds, [scorer])[0]]


@pytest.mark.parametrize("scorer", OWN)
def test_who_goes_its_own_way_in_every_round_does_not_stand_out(scorer: str) -> None:
    rounds = honest(8)
    assert set(explain(play(rounds, ["cosine", "norm"])[0][-1])), "unusual at first sight"

    assert marked(rounds, scorer) == [set()] * 8


def test_who_begins_to_lie_turns_away_from_its_own_past() -> None:
    rounds = honest(8)
    rounds[5:, 3] *= -1.0

    assert marked(rounds, "drift")[4:7] == [set(), {"c03"}, {"c03"}]
    scores = play(rounds, ["drift"])[0][5]
    assert explain(scores)["c03"].startswith(
        "update turns away from the client's own earlier ones (by 1."
    )


@pytest.mark.parametrize("factor", [10.0, 0.05, 0.0])
def test_who_begins_to_send_longer_or_shorter_updates_is_seen(factor: float) -> None:
    rounds = honest(6)
    rounds[4:, 7] *= factor

    assert marked(rounds, "growth")[3:5] == [set(), {"c07"}]


def test_what_was_not_foretold_stands_out_and_so_does_what_was_foretold_too_well() -> None:
    rounds = honest(6)
    rng = np.random.default_rng(5)
    rounds[:, 2] = 20.0 * rng.normal(size=(6, 400))
    rounds[1:, 9] = rounds[0, 9] + np.median(np.diff(rounds, axis=0), axis=1).cumsum(axis=0)

    found = marked(rounds, "consistency")

    assert found[0] == set()
    assert found[1:] == [{"c02", "c09"}] * 5


def test_the_signals_are_those_of_their_twins() -> None:
    """Up to 256 columns a sketch is the update itself, its elements turned and negated."""
    rounds = honest(4, n=7, d=200)
    facts = [Facts(rows) for rows in rounds]
    names = NAMES[:7]
    memory = Past.of(None)
    for fact in facts[:3]:
        memory = memory.after(fact, names)
    lengths = np.linalg.norm(rounds, axis=2)
    ways = rounds / lengths[..., None]
    ratios = lengths / np.median(lengths, axis=1)[:, None]

    def running(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        mean = values[0]
        for value in values[1:]:
            mean = 0.9 * mean + 0.1 * value
        return mean

    cosines = []
    for number in (1, 2, 3):
        mean = running(ways[:number])
        cosines.append((ways[number] * mean).sum(axis=1) / np.linalg.norm(mean, axis=1))
    given: dict[str, Any] = {"clients": names, "past": memory}
    assert drift(facts[3], **given).values == pytest.approx(
        running(cosines[:2]) - cosines[2], abs=1e-6
    )
    usual = np.exp(running(np.log(ratios[:3])))
    assert growth(facts[3], **given).values == pytest.approx(ratios[3] / usual)
    change = rounds[3] - rounds[2]
    # The median of turned and negated elements is that of the elements, for an odd number.
    missed = np.linalg.norm(change - np.median(change, axis=0), axis=1)
    assert consistency(facts[3], **given).values == pytest.approx(
        missed / np.median(missed), rel=1e-5
    )


def test_who_was_not_there_has_no_value_and_the_others_keep_theirs() -> None:
    rounds = honest(5)
    state = play(rounds[:3])[1]
    fewer = UpdateMatrix(rounds[3][:9], NAMES[:9])
    _, state = score_updates(fewer, byzantine=2, scorers=OWN, state=state)

    scores, state = score_updates(
        UpdateMatrix(rounds[4], (*NAMES[:11], "new")), byzantine=2, scorers=OWN, state=state
    )

    scored = {name: {s.client for s in scores if s.signal == name} for name in OWN}
    assert scored == {
        "consistency": set(NAMES[:9]),
        "drift": set(NAMES[:11]),
        "growth": set(NAMES[:11]),
    }
    assert state is not None
    assert set(state["clients"]) == {*NAMES, "new"}
    assert explain(scores) == {}


def test_two_foretell_nothing() -> None:
    state = play(honest(1))[1]
    rows = UpdateMatrix(np.ones((4, 400)), ("c00", "c01", "x", "y"))

    scores, _ = score_updates(rows, byzantine=1, scorers=["consistency"], state=state)

    assert scores == ()


def test_the_past_survives_serialization_and_the_order_of_arrival() -> None:
    rounds = honest(4)
    kept, stored = None, None
    for rows in rounds:
        found, kept = play([rows], state=kept)
        again, stored = play([rows], state=stored)
        assert again == found
        stored = through_json_and_npz(stored)


def test_a_state_of_something_else_is_refused() -> None:
    state: Mapping[str, int] = {"rounds": 3}

    with pytest.raises(UpdateError, match="the state of the signals lacks clients, seen"):
        play(honest(1), state=state)


def test_clients_that_stay_away_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "_FORGOTTEN", 2)
    rounds = honest(4)
    state = play(rounds[:1])[1]

    _, state = play([rows[:5] for rows in rounds[1:3]], state=state)
    assert state is not None
    assert len(state["clients"]) == 12
    _, state = play([rounds[3][:5]], state=state)
    assert state is not None
    assert state["clients"] == NAMES[:5]


def test_little_is_remembered_however_large_the_model() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 100_000)).astype(np.float32)
    state = play([rows])[1]
    assert state is not None

    size = sum(value.nbytes for value in state.values() if isinstance(value, np.ndarray))

    assert size < 5 * 3300


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_the_unit_of_the_updates_does_not_matter(size: float) -> None:
    rounds = honest(4)
    expected, found = play(rounds)[0][-1], play(rounds * size)[0][-1]

    assert [s.z for s in found] == pytest.approx([s.z for s in expected], rel=1e-4, abs=1e-4)


def test_zeros_have_no_direction_and_are_no_fault() -> None:
    found, _ = play(np.zeros((4, 6, 9)))

    assert all(score.z == 0.0 for scores in found for score in scores)


def test_who_climbs_its_loss_follows_the_models_move_unlike_the_others() -> None:
    rng = np.random.default_rng(3)
    optima = rng.normal(size=(12, 400)) * rng.uniform(0.5, 2.0, 12)[:, None]
    curvatures = rng.uniform(0.2, 1.0, (12, 400))
    model, state = np.full(400, 3.0), None
    values: dict[str, float] = {}
    scores: tuple[Score, ...] = ()
    for _ in range(8):
        rows = curvatures * (optima - model) + 0.1 * rng.normal(size=(12, 400))
        rows[3] *= -1.0
        matrix = UpdateMatrix(rows, NAMES)
        scores, state = score_updates(
            matrix,
            byzantine=2,
            scorers=["response"],
            state=state,
            known=Facts(rows, model=model),
        )
        model += 0.3 * np.delete(rows, 3, axis=0).mean(axis=0)
        values = {score.client: score.value for score in scores}
        assert not values or values.pop("c03") > 0.1
        assert not values or max(values.values()) < 0.0

    assert values
    assert set(explain(scores)) == {"c03"}


@pytest.mark.parametrize("model", [None, np.ones(400)])
def test_a_model_that_nobody_tells_or_moves_has_no_response(
    model: NDArray[np.float64] | None,
) -> None:
    state = None
    for rows in honest(3):
        scores, state = score_updates(
            UpdateMatrix(rows, NAMES),
            byzantine=2,
            scorers=["response"],
            state=state,
            known=Facts(rows, model=model),
        )
        assert scores == ()
