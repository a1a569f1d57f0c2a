"""Scores on cases worked by hand, and on the edges where a formula would divide by nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quickthorn.strategies.kernels.order import median
from quickthorn.strategies.scoring import (
    STANDS_OUT,
    Signal,
    explain,
    robust_z,
    score_updates,
    suspicion,
)
from quickthorn.strategies.updates import Score, UpdateMatrix

THREE = ("cosine", "krum_distance", "norm")


def matrix(rows: np.ndarray[Any, Any]) -> UpdateMatrix:
    return UpdateMatrix(np.array(rows), tuple(f"c{number:02}" for number in range(len(rows))))


def signal(*position: float, resolution: float = 0.01, two_sided: bool = False) -> Signal:
    values = np.array(position)
    return Signal(values, values, two_sided, resolution, "is {value:.1f} ({low:.1f} to {high:.1f})")


def test_the_z_score_is_the_distance_from_the_median_in_mads() -> None:
    # Median 2; distances 2, 1, 0, 1, 98; their median 1; for five clients it is widened.
    z = robust_z(signal(0.0, 1.0, 2.0, 3.0, 100.0))

    assert z == pytest.approx(np.array([-2, -1, 0, 1, 98]) / (1.4826 * 2.54))


def test_from_sixteen_clients_on_the_mad_is_taken_as_it_is() -> None:
    z = robust_z(signal(*range(17)))

    assert z == pytest.approx((np.arange(17) - 8) / (1.4826 * 4))


@pytest.mark.parametrize("clients", [3, 4, 5, 6, 7, 9, 12, 15, 16, 30])
def test_at_most_one_honest_client_in_a_hundred_stands_out(clients: int) -> None:
    draws = np.random.default_rng(7).normal(size=(6000, clients))

    rate = np.mean(
        [robust_z(signal(*row, resolution=1e-9, two_sided=True)) > STANDS_OUT for row in draws]
    )

    assert 0.001 < rate < 0.012


def test_where_both_sides_are_suspicious_the_sign_is_gone() -> None:
    z = robust_z(signal(-100.0, 1.0, 2.0, 3.0, 4.0, two_sided=True))

    assert z == pytest.approx(np.array([102, 1, 0, 1, 2]) / (1.4826 * 2.54))


def test_the_last_digit_is_no_evidence() -> None:
    z = robust_z(signal(1.0, 1.0, 1.0, 1.0, 1.0 + 1e-9))

    assert z.max() == pytest.approx(1e-7)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("value", [0.0, 1.0, -1e-30, 1e30])
def test_where_all_are_equal_nobody_stands_out(n: int, value: float) -> None:
    scores, _ = score_updates(matrix(np.full((n, 5), value, np.float32)), byzantine=1)

    assert {score.signal for score in scores} >= {"cosine", "norm"}
    assert [score.z for score in scores] == [0.0] * len(scores)
    assert explain(scores) == {}


def test_norms_by_hand() -> None:
    # Lengths 1, 2, 2, 2, 64 against the median 2; log distances log 2, 0, 0, 0, log 32; the
    # spread of 0 becomes the resolution of 0.2.
    rows = np.array([[1.0, 0], [0, 2.0], [0, -2.0], [-2.0, 0], [64.0, 0]], np.float32)

    scores = {s.client: s for s in score_updates(matrix(rows), byzantine=1, scorers=["norm"])[0]}

    assert [s.value for s in scores.values()] == pytest.approx([0.5, 1, 1, 1, 32])
    assert scores["c00"].z == pytest.approx(math.log(2) / 0.2)
    assert scores["c04"].z == pytest.approx(math.log(32) / 0.2)
    assert (
        scores["c04"].reason == "update is 32 times as long as the median (the others 0.50 to 1.00)"
    )
    assert [s.client for s in scores.values() if s.reason] == ["c04"]


def test_a_flipped_update_stands_out_by_its_direction() -> None:
    rows = np.ones((6, 4), np.float32)
    rows[2] = -1

    scores, _ = score_updates(matrix(rows), byzantine=1, scorers=["cosine"])

    assert [round(score.value, 6) for score in scores] == [1, 1, -1, 1, 1, 1]
    assert explain(scores).keys() == {"c02"}
    assert scores[2].z == pytest.approx(2 / 0.05)


def test_a_signal_that_needs_more_clients_is_left_out() -> None:
    rows = np.ones((4, 2), np.float32)

    found = {
        n: {s.signal for s in score_updates(matrix(rows[:n]), byzantine=1, scorers=THREE)[0]}
        for n in (1, 2, 3, 4)
    }

    assert list(found.values()) == [{"cosine", "norm"}] * 3 + [{*THREE}]


def test_the_worst_signal_counts_and_is_named_first() -> None:
    scores = [
        Score("a", "norm", 9.0, 5.0, "update is long"),
        Score("a", "krum_distance", 7.0, 8.0, "update lies far"),
        Score("b", "norm", 1.0, -4.0),
    ]

    assert suspicion(scores) == {"a": 8.0, "b": 0.0}
    assert explain(scores) == {"a": "update lies far; is long"}


EDGES = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e-300, 1e-160, 1e150, -1e160, 1e300, 1.7e308, -1.7e308]
ROWS = st.integers(1, 6).flatmap(
    lambda n: arrays(np.float64, (n, 3), elements=st.sampled_from(EDGES))
)


@settings(max_examples=60)
@given(ROWS)
def test_no_finite_updates_make_a_score_that_the_record_refuses(rows: np.ndarray[Any, Any]) -> None:
    scores, _ = score_updates(matrix(rows), byzantine=1)

    # SQLite stores NaN as NULL, and the column is NOT NULL.
    assert not any(math.isnan(score.value) or math.isnan(score.z) for score in scores)
    assert len({score.client for score in scores}) == len(rows)


def test_one_that_differs_where_all_others_agree_has_a_finite_score_and_a_true_sentence() -> None:
    rows = np.zeros((6, 3))
    rows[4] = 2.0

    scores, _ = score_updates(matrix(rows), byzantine=1, scorers=THREE)
    found = [score for score in scores if score.client == "c04"]

    assert {s.signal for s in found if s.reason} == {"norm", "krum_distance"}
    assert all(s.z < 40 for s in found)
    assert all("1e+03 times" in s.reason for s in found if s.reason)


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (20,), (1, 3), (8, 5), (9, 5)])
def test_a_median_has_the_bits_of_numpys(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    assert median(values).tobytes() == np.median(values, axis=0).tobytes()
    values[-1] = np.inf
    assert median(values).tobytes() == np.median(values, axis=0).tobytes()
    values[0] = np.nan
    assert np.isnan(median(values)).all()
