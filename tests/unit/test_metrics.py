"""What clients claim about themselves, combined so that a liar moves it little."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickthorn.server.metrics import NAMED_SURPLUS, combine_metrics

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, min_size=2, max_size=8), FINITE)
def test_one_liar_stays_within_the_honest_range(honest: list[float], lie: float) -> None:
    claims = {str(number): {"loss": value} for number, value in enumerate(honest)}

    combined, _ = combine_metrics({**claims, "liar": {"loss": lie}})

    assert min(honest) <= combined["loss"] <= max(honest)


def test_control_the_mean_follows_the_liar() -> None:
    honest = [0.1, 0.2, 0.3]

    assert sum([*honest, 1e9]) / 4 > 1e8
    combined, _ = combine_metrics({str(v): {"loss": v} for v in [*honest, 1e9]})
    assert combined["loss"] == pytest.approx(0.25)


def test_what_half_or_fewer_report_is_set_aside_and_noted() -> None:
    claims = {
        "a": {"loss": 1.0, "x": 1.0},
        "b": {"loss": 2.0, "x": 2.0},
        "c": {"loss": 3.0},
        "d": {},
    }

    combined, surplus = combine_metrics(claims)

    assert combined == {"loss": 2.0}
    assert surplus == {"a": ("surplus metric x",), "b": ("surplus metric x",)}


def test_withholding_a_metric_does_not_remove_it() -> None:
    combined, _ = combine_metrics({"a": {"loss": 1.0}, "b": {"loss": 3.0}, "liar": {}})

    assert combined == {"loss": 2.0}


def test_the_middle_of_two_huge_claims_is_finite() -> None:
    combined, _ = combine_metrics({"a": {"loss": 1.5e308}, "b": {"loss": 1.6e308}})

    assert math.isfinite(combined["loss"])


def test_nobody_reports_nothing() -> None:
    assert combine_metrics({}) == ({}, {})


def test_many_surplus_metrics_are_named_up_to_a_number() -> None:
    many = {f"m{number:04}": 1.0 for number in range(5000)}

    _, surplus = combine_metrics({"a": many, "b": {}, "c": {}})

    assert len(surplus["a"]) == NAMED_SURPLUS + 1
    assert surplus["a"][-1] == f"and {5000 - NAMED_SURPLUS} more surplus metrics"
