"""Centered clipping: its parameters against the twin, its memory, figures at the end of float64."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.centered_clipping import centered_clipping
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.kernels.rows import row_norms
from tests.naive import TWINS

ROUNDS = np.random.default_rng(3).normal(size=(5, 7, 4))


@pytest.mark.parametrize("radius", [0.3, 1.0, 100.0, "median"])
@pytest.mark.parametrize("iterations", [1, 3])
def test_every_round_is_as_the_twin_says(radius: Any, iterations: int) -> None:  # noqa: ANN401 - a number or a word
    state = None
    for values in ROUNDS:
        expected = TWINS["centered_clipping"](
            values.tolist(), state=state, radius=radius, iterations=iterations
        )
        outcome = centered_clipping(values, state=state, radius=radius, iterations=iterations)
        np.testing.assert_allclose(outcome.vector, expected, rtol=1e-12)
        state = outcome.state


def test_a_client_moves_the_result_by_its_share_of_the_radius_and_no_further() -> None:
    values = np.zeros((10, 3))
    values[4] = 1e300
    moved = build("centered_clipping(radius=2)", byzantine=1).aggregate(values).vector
    assert np.linalg.norm(moved) == pytest.approx(2 / 10)


def test_the_state_is_a_mapping_of_arrays_that_survives_a_file() -> None:
    defense = build("nnm | centered_clipping(radius=1)", byzantine=1)
    kept = stored = None
    straight = defense.aggregate(ROUNDS[0])
    for values in ROUNDS:
        straight = defense.aggregate(values, state=kept)
        read = defense.aggregate(values, state=stored)
        assert straight.vector.tobytes() == read.vector.tobytes()
        kept = straight.state
        assert list(kept) == ["1:centered_clipping"]
        file = io.BytesIO()
        np.savez(file, **kept["1:centered_clipping"])
        file.seek(0)
        stored = {"1:centered_clipping": dict(np.load(file))}
    assert defense.aggregate(ROUNDS[-1]).vector.tolist() != straight.vector.tolist()


def test_the_center_is_kept_in_float64_and_is_not_written_to() -> None:
    values = ROUNDS[0].astype(np.float32)
    first = centered_clipping(values, state=None)
    before = first.state["center"].copy()
    assert before.dtype == np.float64
    second = centered_clipping(values, state=first.state)
    assert first.state["center"].tolist() == before.tolist()
    assert not np.shares_memory(second.state["center"], first.state["center"])
    assert not np.shares_memory(centered_clipping(ROUNDS[0], state=None).vector, before)


def test_a_state_of_another_model_is_refused() -> None:
    state = {"center": np.zeros(3)}
    with pytest.raises(UpdateError, match=r"of shape \(3,\), the updates have 4 columns"):
        centered_clipping(ROUNDS[0], state=state)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("radius=0", "radius of centered_clipping must be above 0 or 'median'; got 0"),
        ("radius=-1.5", "got -1.5"),
        ("iterations=0", "iterations of centered_clipping must be at least 1; got 0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(f"centered_clipping({text})", byzantine=1).aggregate(ROUNDS[0])


def test_momentum_that_is_not_damped_needs_a_radius_that_grows_with_it() -> None:
    damped = ROUNDS[0]
    short = centered_clipping(damped, state=None, radius=0.5).vector
    long = centered_clipping(10 * damped, state=None, radius=0.5 / (1 - 0.9)).vector
    np.testing.assert_allclose(long, 10 * short, rtol=1e-12)


def test_distances_neither_overflow_nor_vanish() -> None:
    values = np.array([[3e200, 4e200], [3e-200, 4e-200], [1.7e308, -1.7e308], [0.0, 0.0]])
    found = row_norms(values, np.zeros(2))
    np.testing.assert_allclose(found[:2], [5e200, 5e-200], rtol=1e-15)
    assert np.isfinite(found).all()
    assert found[3] == 0.0
    across = row_norms(values[2:3], np.array([-1.7e308, 1.7e308]))
    assert across == np.finfo(np.float64).max


def test_a_chunk_border_changes_nothing() -> None:
    wide = np.random.default_rng(0).normal(size=(5, (1 << 15) + 3))
    got = centered_clipping(wide, state=None, radius=20.0).vector
    expected = TWINS["centered_clipping"](wide.tolist(), state=None, radius=20.0)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)
