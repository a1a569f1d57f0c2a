"""The text form, the TOML form and the dataclasses mean one thing; what is wrong is named."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quickthorn.strategies import Defense, Step, UpdateMatrix, available, build, find
from quickthorn.strategies.errors import (
    ConfigurationError,
    TooFewClientsError,
    UnknownNameError,
    UpdateError,
)

PRE = st.sampled_from(
    [
        "arc",
        "bucketing",
        "bucketing(size=3)",
        "nnm",
        "clip",
        "clip(radius=median)",
        "clip(radius=2.5)",
        "clip(radius=1e-07)",
    ]
)
LAST = st.sampled_from(
    [*available()["aggregator"], "multi_krum(select=3)", "weighted_mean(cap=1.5)"]
)


@given(pre=st.lists(PRE, max_size=3), last=LAST, byzantine=st.integers(0, 9))
def test_the_text_form_round_trips(pre: list[str], last: str, byzantine: int) -> None:
    assume(last != "foolsgold" or not any(step.startswith("bucketing") for step in pre))
    text = " | ".join([*pre, last])
    defense = build(text, byzantine=byzantine)
    assert str(defense) == text
    assert build(str(defense), byzantine=byzantine) == defense


@pytest.mark.parametrize(
    "text",
    [
        "clip(radius=median)|nnm|multi_krum(select=3)",
        "  clip ( radius = 'median' ) |\tnnm |\n multi_krum( select=3 , ) ",
        'clip(radius="median") | nnm() | multi_krum(select=3)',
    ],
)
def test_spaces_and_quotes_do_not_matter(text: str) -> None:
    assert str(build(text, byzantine=1)) == "clip(radius=median) | nnm | multi_krum(select=3)"


def test_text_toml_and_dataclasses_are_equal() -> None:
    tables = tomllib.loads(
        'defense = [{rule = "clip", radius = 2}, {rule = "nnm"}, {rule = "multi_krum", select = 3}]'
    )["defense"]
    steps = [
        Step(find("preaggregator", "clip"), {"radius": 2.0}),
        Step(find("preaggregator", "nnm")),
        Step(find("aggregator", "multi_krum"), {"select": 3}),
    ]
    text = build("clip(radius=2) | nnm | multi_krum(select=3)", byzantine=2)
    assert text == build(tables, byzantine=2) == build(steps, byzantine=2)
    assert text == Defense(tuple(steps), 2) == build(text, byzantine=2)
    assert build(steps[2], byzantine=1) == build("multi_krum(select=3)", byzantine=1)
    assert build(text, byzantine=0).byzantine == 0


def test_a_number_is_a_float_where_the_rule_wants_one() -> None:
    (step, _) = build("clip(radius=2) | mean", byzantine=0).steps
    assert step.parameters == {"radius": 2.0}
    assert isinstance(step.parameters["radius"], float)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("trimed_mean", "unknown rule 'trimed_mean'; did you mean 'trimmed_mean'"),
        ("nmm | median", "unknown rule 'nmm'; did you mean 'nnm'"),
        ("clip(radus=2) | median", "parameter of clip 'radus'; did you mean 'radius'"),
        ("multi_krum(selec=2)", "did you mean 'select'"),
        ("zzz", r"unknown rule 'zzz'\. Known: arc, bucketing, "),
    ],
)
def test_a_near_miss_is_named(text: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        build(text, byzantine=1)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("", "cannot read ''"),
        ("nnm |", "cannot read ''"),
        ("| nnm", "cannot read ''"),
        ("nnm || median", "cannot read ''"),
        ("median median", "cannot read 'median median'"),
        ("clip(radius=2 | median", "cannot read"),
        ("clip(radius=(2)) | median", "cannot read"),
        ("clip(2) | median", "'2' is not key=value"),
        ("clip(radius=) | median", "is not key=value"),
        ("clip(radius=2=3) | median", "is not key=value"),
        ("clip(radius=1, radius=2) | median", "names it twice"),
        ("Median", "cannot read 'Median'"),
        ("median | nnm", "pre-aggregators and then one aggregator.*got median | nnm"),
        ("nnm", "then one aggregator"),
        ("median | mean", "then one aggregator"),
        ("median(byzantine=3)", "median has no parameter 'byzantine'; it takes none"),
        ("trimmed_mean(byzantine=3)", "trimmed_mean has no parameter 'byzantine'"),
        ("clip(radius=mean) | median", "radius of clip must be a number or 'median'; got 'mean'"),
        ("clip(radius=true) | median", "got True"),
        ("clip(radius=nan) | median", "got 'nan'"),
        ("clip(radius=inf) | median", "got 'inf'"),
        ("multi_krum(select=2.5)", "select of multi_krum must be an integer"),
        ([], "got no step"),
        ([{"radius": 2}], 'a table like {rule = "nnm"}'),
        ([{"rule": 3}], "a step of a defense is a table"),
        (["nnm", "median"], "a step of a defense is a table"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(description: Any, message: str) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ConfigurationError, match=message):
        build(description, byzantine=1)


def _needs_radius(values: Any, *, radius: float) -> Any:  # noqa: ANN401 - never called
    raise NotImplementedError


def test_a_missing_parameter_is_named() -> None:
    spec = find("aggregator", "mean")
    owing = type(spec)(
        name="owing", kind="aggregator", apply=_needs_radius, min_clients=lambda _f: 1,
        complexity="", reference="",
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match=r"owing needs radius; write owing\(radius=…\)"):
        Step(owing)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("multi_krum(select=0)", "multi_krum needs select from 1 to n - f = 4; got 0"),
        ("multi_krum(select=-1)", "multi_krum needs select from 1 to n - f = 4; got -1"),
        ("clip(radius=0) | mean", "radius of clip must be above 0"),
        ("nnm | clip(radius=-1.0) | mean", "radius of clip must be above 0"),
        ("weighted_mean(cap=0.5)", "cap of weighted_mean must be at least 1"),
    ],
)
def test_a_parameter_out_of_range_is_refused_before_any_round(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(text, byzantine=1)


def test_the_smallest_cohort_depends_on_the_parameters() -> None:
    defense = build("multi_krum(select=9)", byzantine=1)
    assert defense.min_clients == 10
    assert defense.aggregate(np.ones((10, 2))).vector == pytest.approx([1.0, 1.0])
    with pytest.raises(TooFewClientsError, match="multi_krum needs n >= 10 clients"):
        defense.aggregate(np.ones((9, 2)))
    assert build("bucketing(size=2) | multi_krum(select=9)", byzantine=1).min_clients == 19


def test_weights_are_asked_for_by_the_rule_that_needs_them() -> None:
    rows = {"a": np.zeros(1), "b": np.full(1, 4.0)}
    defense = build("weighted_mean", byzantine=0)
    assert defense.needs_weights
    assert not build("nnm | median", byzantine=0).needs_weights
    with pytest.raises(UpdateError, match="one sample count per client"):
        defense.aggregate(UpdateMatrix.of(rows))
    with pytest.raises(UpdateError, match=r"shape \(2,\); got shape \(3,\)"):
        defense.aggregate(UpdateMatrix.of(rows), weights=np.ones(3))
    values = np.array([[0.0], [4.0]])
    matrix = UpdateMatrix(values, ("a", "b"), np.array([1.0, 3.0]))
    assert defense.aggregate(matrix).vector == 3.0
    assert defense.aggregate(matrix, weights=np.array([1.0, 1.0])).vector == 2.0


@pytest.mark.parametrize("claim", [1e12, np.inf, np.nan, -60.0, 0.0])
def test_an_absurd_claim_buys_at_most_the_cap(claim: float) -> None:
    rows = np.array([[0.0], [0.0], [0.0], [1.0]])
    claims = np.array([10.0, 10.0, 10.0, claim])
    outcome = build("weighted_mean(cap=2)", byzantine=1).aggregate(rows, weights=claims)
    assert outcome.influence is not None
    assert outcome.influence[3] == pytest.approx(0.4 if claim == 1e12 else 0.25)
    assert outcome.vector[0] == pytest.approx(outcome.influence[3])


@pytest.mark.parametrize(
    "claims", [[0.0] * 3, [np.nan] * 3, [-60.0, 60.0, 0.0], [1.7e308, 1.7e308, np.inf]]
)
def test_claims_that_say_nothing_count_alike(claims: list[float]) -> None:
    rows = np.array([[0.0], [3.0], [6.0]])
    outcome = build("weighted_mean", byzantine=0).aggregate(rows, weights=np.array(claims))
    assert outcome.vector[0] == pytest.approx(3.0)


def test_influence_runs_back_through_the_mixing() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 3))
    outcome = build("clip(radius=1e9) | nnm | nnm | krum", byzantine=2).aggregate(rows)
    assert outcome.influence is not None
    assert outcome.influence.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(outcome.influence @ rows, outcome.vector, rtol=1e-12)
