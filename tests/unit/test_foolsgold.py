"""FoolsGold: several rounds against the twin, clients that come and go, its parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, build
from quickthorn.strategies.aggregators.foolsgold import dissimilarity, foolsgold
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from tests.naive import TWINS
from tests.naive.angles import ramp


@pytest.mark.parametrize("confidence", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float32, 1e-4), (np.float64, 1e-10)])
def test_rounds_with_changing_clients_equal_the_twin(
    dtype: type[np.floating], accuracy: float, confidence: float
) -> None:
    rng = np.random.default_rng(3)
    defense = build(f"foolsgold(confidence={confidence})", byzantine=2)
    state, sums = None, dict[str, list[float]]()
    for present in ("abcdef", "abdf", "bcdef", "ghi", "abcdefghi"):
        rows = rng.normal(size=(len(present), 5)).astype(dtype)
        matrix = UpdateMatrix.of(dict(zip(present, rows, strict=True)))
        outcome = defense.aggregate(matrix, state=state)
        expected = TWINS["foolsgold"](
            rows.tolist(), clients=present, state=sums, confidence=confidence
        )
        np.testing.assert_allclose(outcome.vector, expected, atol=accuracy)
        state = outcome.state
        for client, row in zip(present, rows.astype(np.float64), strict=True):
            sums[client] = (np.array(sums.get(client, 0.0)) + row).tolist()


def test_two_sybils_lose_their_weight_and_one_alone_does_not() -> None:
    honest = np.array([[1.0, 0.2, 0.0], [0.1, 1.0, 0.1], [0.0, 0.3, 1.0]])
    sybils = np.tile([-1.0, -1.0, -1.0], (2, 1))
    influence = (
        build("foolsgold", byzantine=2).aggregate(np.concatenate([honest, sybils])).influence
    )
    assert influence is not None
    assert influence[3:].tolist() == [0.0, 0.0]
    alone = build("foolsgold", byzantine=1).aggregate(np.concatenate([honest, sybils[:1]]))
    assert alone.influence is not None
    assert alone.influence[3] == alone.influence.max()


def test_the_ramp_is_the_papers() -> None:
    for alpha in (0.0, 0.2, 0.4, 0.5, 0.6, 0.9, 1.0):
        cosines = np.array([[1.0, 1.0 - alpha, 0.0], [1.0 - alpha, 1.0, 0.0], [0.0, 0.0, 1.0]])
        assert dissimilarity(cosines)[0] == pytest.approx(ramp(alpha, 1.0))


def test_the_history_stays_finite() -> None:
    largest = np.finfo(np.float64).max
    rows = np.array([[largest, 1.0], [-largest, 1.0], [1.0, 2.0]])
    state: Any = None
    for _ in range(3):
        outcome = foolsgold(rows, clients=("a", "b", "c"), state=state)
        state = outcome.state
        assert np.isfinite(outcome.vector).all()
    assert np.isfinite(state["history"]).all()


def test_the_state_before_is_left_alone() -> None:
    first = build("foolsgold", byzantine=0).aggregate(np.eye(2)).state
    assert first is not None
    before = first["0:foolsgold"]["history"].copy()
    build("foolsgold", byzantine=0).aggregate(np.ones((2, 2)), state=first)
    assert (first["0:foolsgold"]["history"] == before).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="confidence of foolsgold must be above 0; got 0"):
        build("foolsgold(confidence=0)", byzantine=0)
    with pytest.raises(ConfigurationError, match="behind bucketing a row is a group of clients"):
        build("bucketing | foolsgold", byzantine=0)
    state = build("foolsgold", byzantine=0).aggregate(np.eye(2)).state
    with pytest.raises(UpdateError, match=r"shape \(2, 2\), the updates have 3 columns"):
        build("foolsgold", byzantine=0).aggregate(np.eye(3), state=state)
