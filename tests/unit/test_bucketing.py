"""Bucketing: how many clients a defense needs behind it, claims of groups, the lot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.strategies import build, find
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError
from quickthorn.strategies.preaggregators.bucketing import bucketing
from tests.naive import PRE_TWINS

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("byzantine", [0, 1, 2, 4])
@pytest.mark.parametrize("rule", ["mean", "median", "krum", "nnm | trimmed_mean"])
def test_min_clients_is_the_smallest_n_with_enough_buckets(
    rule: str, byzantine: int, size: int
) -> None:
    behind = build(rule, byzantine=byzantine).min_clients
    needed = build(f"bucketing(size={size}) | {rule}", byzantine=byzantine).min_clients
    assert -(-needed // size) >= behind
    assert needed == 1 or -(-(needed - 1) // size) < behind


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("bucketing | bucketing(size=3) | median", 2 * 3 * 4 + 1),
        ("nnm | bucketing | median", 2 * 4 + 1),
        ("bucketing(size=1000000) | median", 4_000_001),
        ("bucketing | krum", 2 * 6 + 1),
    ],
)
def test_min_clients_runs_through_several_steps(text: str, needed: int) -> None:
    assert build(text, byzantine=2).min_clients == needed


def test_too_few_clients_are_refused_in_the_name_of_the_step_that_needs_them() -> None:
    defense = build("clip | bucketing(size=3) | median", byzantine=1)
    words = (
        r"median behind bucketing\(size=3\) needs n >= 7 clients to tolerate byzantine=1; got n=6"
    )
    with pytest.raises(TooFewClientsError, match=words):
        defense.aggregate(np.ones((6, 2)))
    with pytest.raises(TooFewClientsError, match="nnm needs n >= 5 clients"):
        build("nnm | bucketing | mean", byzantine=2).check_cohort(4)


@pytest.mark.parametrize("size", [0, -1])
def test_a_bucket_holds_someone(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"at least 1 client; got {size}"):
        build(f"bucketing(size={size}) | mean", byzantine=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 7, 8, 20])
def test_other_sizes_are_as_the_twin_says(size: int, dtype: type) -> None:
    values: Array = np.random.default_rng(1).normal(size=(8, 3)).astype(dtype)
    mixed = bucketing(values, rng=np.random.default_rng(4), size=size)
    rows = PRE_TWINS["bucketing"](values.tolist(), rng=np.random.default_rng(4), size=size)
    np.testing.assert_allclose(
        mixed.values[:, :], rows, rtol=1e-6 if dtype == np.float32 else 1e-14
    )
    assert mixed.values.dtype == dtype


def test_the_generator_decides_who_meets_whom_and_nothing_else_does() -> None:
    values = np.random.default_rng(1).normal(size=(12, 3))
    defense = build("bucketing | median", byzantine=1)
    first, again, other = (
        defense.aggregate(values, rng=np.random.default_rng((7, number))).vector.tolist()
        for number in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_influence_runs_back_to_the_members_of_a_bucket() -> None:
    values = np.random.default_rng(1).normal(size=(9, 3))
    outcome = build("bucketing | nnm | krum", byzantine=1).aggregate(values)
    assert outcome.influence is not None
    assert outcome.influence.shape == (9,)
    assert outcome.influence.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(outcome.influence @ values, outcome.vector, rtol=1e-12)
    assert build("bucketing | median", byzantine=1).aggregate(values).influence is None


@pytest.mark.parametrize("claim", [1e12, np.inf, -np.inf, np.nan, -60.0, 0.0])
def test_an_absurd_claim_spoils_one_bucket_at_most(claim: float) -> None:
    rows = np.zeros((8, 1))
    rows[3] = 1.0
    claims = np.full(8, 10.0)
    claims[3] = claim
    outcome = build("bucketing | weighted_mean(cap=2)", byzantine=1).aggregate(rows, weights=claims)
    assert outcome.influence is not None
    assert np.isfinite(outcome.influence).all()
    assert outcome.influence[3] <= 0.4 / 2 + 1e-12  # one bucket of four, at most twice the others


def test_equal_claims_leave_buckets_alike() -> None:
    values = np.random.default_rng(1).normal(size=(7, 3))
    weighted = build("bucketing | weighted_mean", byzantine=0)
    plain = build("bucketing | mean", byzantine=0).aggregate(values).vector
    np.testing.assert_allclose(weighted.aggregate(values, weights=np.ones(7)).vector, plain)


def test_a_step_without_a_row_count_keeps_the_number() -> None:
    assert find("preaggregator", "nnm").rows is None
    (nnm, _) = build("nnm | mean", byzantine=0).steps
    assert nnm.rows(7) == 7
