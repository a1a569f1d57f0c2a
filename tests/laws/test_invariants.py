"""Laws that need more than one cohort: errors, threads, blocks, state, mixing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from quickthorn.strategies import Aggregate, Defense, Spec, Step, build
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError, UpdateError
from quickthorn.strategies.kernels import blocks
from quickthorn.strategies.updates import Mixed
from tests.laws.laws import assert_same_bits
from tests.laws.subjects import PREAGGREGATORS, SUBJECTS, Cohort, Subject
from tests.laws.twins import supply
from tests.states import through_json_and_npz

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array

by_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=str)


def normal(
    subject: Subject, byzantine: int, columns: int, dtype: type = np.float64, *, extra: int = 4
) -> Cohort:
    n = subject.min_clients(byzantine) + extra
    rng = np.random.default_rng(columns)
    values: Array = rng.normal(size=(n, columns)).astype(dtype)
    return Cohort(values, byzantine, rng.integers(1, 9, n).astype(np.float64))


# Errors ---------------------------------------------------------------------------------


@by_subject
def test_too_few_clients_are_refused_with_the_figures(subject: Subject) -> None:
    for byzantine in range(4):
        n = subject.min_clients(byzantine)
        whole = np.ones((n, 2))
        weights = np.ones(n)
        assert subject.run(Cohort(whole, byzantine, weights)).vector.shape == (2,)
        if n > 1:
            short = f"n >= {n} clients to tolerate byzantine={byzantine}; got n={n - 1}"
            with pytest.raises(TooFewClientsError, match=short):
                subject.run(Cohort(whole[1:], byzantine, weights[1:]))


@pytest.mark.parametrize("byzantine", [-1, 1.5, 1.0, True, "1", None, np.float64(1), np.nan])
@by_subject
def test_byzantine_is_a_count(subject: Subject, byzantine: Any) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ConfigurationError, match="byzantine must be"):
        subject.defense(byzantine)


@by_subject
def test_min_clients_grows_with_byzantine(subject: Subject) -> None:
    needed = [subject.min_clients(byzantine) for byzantine in range(6)]
    assert needed == sorted(needed)
    assert needed[0] >= 1
    if "resilient" in subject.traits:
        assert all(n > 2 * f for f, n in enumerate(needed))  # nobody tolerates half


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_subject
def test_rows_with_nan_or_infinity_never_reach_the_result(
    subject: Subject, dtype: type, fault: float
) -> None:
    cohort = normal(subject, 1, 3, dtype)
    cohort.values[1, 2] = cohort.values[-1, 0] = fault
    with pytest.raises(UpdateError, match=rf"rows 1, {len(cohort.values) - 1} hold NaN"):
        subject.run(cohort)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), r"\(n, d\) array.*shape \(3,\)"),
        (np.ones((2, 3, 1)), r"\(n, d\) array"),
        (np.ones((0, 3)), r"shape \(0, 3\)"),
        (np.ones((3, 0)), r"shape \(3, 0\)"),
        ([[1.0], [2.0]], "got list"),
        (None, "got NoneType"),
        (np.ones((3, 2), np.float16), "float32 or float64; got float16"),
        (np.ones((3, 2), np.int64), "got int64"),
        (np.ones((3, 2), object), "got object"),
        (np.ones((3, 2), complex), "got complex128"),
    ],
)
@by_subject
def test_what_is_no_matrix_of_updates_is_refused(
    subject: Subject,
    values: Any,  # noqa: ANN401 - wrong on purpose
    message: str,
) -> None:
    with pytest.raises(UpdateError, match=message):
        subject.defense(0).aggregate(values, weights=np.ones(3))


# The same bits --------------------------------------------------------------------------


@by_subject
def test_threads_change_no_bit(subject: Subject) -> None:
    rng = np.random.default_rng(0)
    byzantine = 2 if str(subject) == "smea" else 8  # it refuses to search 40 over 8 subsets
    cohort = Cohort(rng.normal(size=(40, 60_000)).astype(np.float32), byzantine, np.ones(40))
    vectors = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert {pool["num_threads"] for pool in threadpool_info()} == {threads}
            vectors.append(subject.run(cohort).vector)
    assert_same_bits(*vectors)


@pytest.mark.parametrize("elements", [1, 64, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@by_subject
def test_the_block_size_changes_no_bit_of_a_coordinate(
    subject: Subject, dtype: type, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is chosen by distances, the coordinates are then combined to the same bits.

    A pre-aggregator and a rule with weights of its own know a norm or a product of matrices,
    summed per block: there the last digit may differ with the width, and no more than that.
    """
    cohort = normal(subject, 2, 101, dtype, extra=40)  # numpy sums 8 rows and more in pairs
    whole = subject.run(cohort).vector
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", elements)
    cut = subject.run(cohort).vector
    if subject.pre is not None or subject.accuracy:
        assert np.abs(cut - whole).max() <= 4 * np.finfo(dtype).eps
    else:
        assert_same_bits(cut, whole)


@by_subject
def test_the_layout_of_a_large_cohort_changes_no_bit(subject: Subject) -> None:
    cohort = normal(subject, 2, 101, extra=40)
    turned = cohort.moved(np.asfortranarray(cohort.values))
    assert_same_bits(subject.run(turned).vector, subject.run(cohort).vector)


def test_one_coordinate_does_not_change_the_bits_of_another() -> None:
    """A column whose sum leaves float64 is averaged in another way, and only that column."""
    values = np.random.default_rng(2).normal(size=(9, 5))
    calm = build("trimmed_mean", byzantine=1).aggregate(values).vector
    values[:, 2] = 1.7e308
    vector = build("trimmed_mean", byzantine=1).aggregate(values).vector
    assert vector[2] == pytest.approx(1.7e308)
    assert_same_bits(np.delete(vector, 2), np.delete(calm, 2))


# State ----------------------------------------------------------------------------------


def _momentum(values: Array, *, state: dict[str, Any] | None, beta: float = 0.5) -> Aggregate:
    previous = np.zeros(values.shape[1]) if state is None else np.asarray(state["momentum"])
    momentum = beta * previous + values.mean(axis=0)
    rounds = 1 if state is None else state["rounds"] + 1
    return Aggregate(momentum, state={"momentum": momentum, "rounds": rounds})


def _drift(values: Array, *, state: dict[str, Any] | None) -> Mixed:
    seen = 0 if state is None else state["seen"]
    return Mixed(values + seen, state={"seen": seen + 1})


def _toy(kind: Any, apply: Any) -> Spec:  # noqa: ANN401 - a Literal and a callable
    return Spec(
        name=apply.__name__.strip("_"),
        kind=kind,
        apply=apply,
        min_clients=lambda _byzantine: 1,
        complexity="",
        reference="",
    )


STATEFUL = Defense(
    (Step(_toy("preaggregator", _drift)), Step(_toy("aggregator", _momentum), {"beta": 0.25})), 0
)


def test_state_survives_serialization() -> None:
    rounds = np.random.default_rng(4).normal(size=(4, 3, 2))
    state = stored = None
    kept = STATEFUL.aggregate(rounds[0])
    for values in rounds:
        kept = STATEFUL.aggregate(values, state=state)
        read = STATEFUL.aggregate(values, state=stored)
        assert_same_bits(read.vector, kept.vector)
        state, stored = kept.state, through_json_and_npz(kept.state)
    assert state is not None
    assert state["1:momentum"]["rounds"] == 4
    assert state["0:drift"]["seen"] == 4
    fresh = STATEFUL.aggregate(rounds[-1]).vector
    assert not np.array_equal(fresh, kept.vector), "the state must matter to this test"


def test_a_state_is_an_input_and_not_a_memory() -> None:
    values = np.ones((3, 2))
    first = STATEFUL.aggregate(values)
    again = [STATEFUL.aggregate(values, state=first.state) for _ in range(2)]
    assert_same_bits(again[0].vector, again[1].vector)
    assert first.state["0:drift"] == {"seen": 1}


@by_subject
def test_a_rule_without_memory_returns_no_state(subject: Subject) -> None:
    cohort = normal(subject, 1, 3)
    stateful = any("state" in spec.supplied for spec in subject.specs)
    assert (subject.run(cohort).state is None) == (not stateful)


# Pre-aggregators ------------------------------------------------------------------------


def _prepare(spec: Spec, values: Array, byzantine: int) -> Mixed:
    given = supply(spec, Cohort(values, byzantine, np.ones(len(values))))
    mixed: Mixed = spec.apply(values, **given)
    return mixed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spec", PREAGGREGATORS, ids=lambda spec: spec.name)
def test_a_mixing_is_row_stochastic_and_explains_the_rows(spec: Spec, dtype: type) -> None:
    values: Array = np.random.default_rng(0).normal(size=(9, 4)).astype(dtype)
    mixed = _prepare(spec, values, 2)
    assert mixed.values.dtype == dtype
    rows = mixed.values[:, :]
    assert not np.shares_memory(rows, values)
    if "rowwise" in spec.traits:
        assert mixed.mixing is None
        assert mixed.values.shape == values.shape
        return
    assert mixed.mixing is not None, f"{spec.name} is not rowwise, so it owes a mixing"
    assert (mixed.mixing >= 0).all()
    np.testing.assert_allclose(mixed.mixing.sum(axis=1), 1.0, rtol=1e-12)
    gap = rows - mixed.mixing @ values.astype(np.float64)
    assert np.abs(gap).max() <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize(
    "spec", [spec for spec in PREAGGREGATORS if "rowwise" in spec.traits], ids=lambda s: s.name
)
def test_a_rowwise_step_changes_each_row_on_its_own(spec: Spec) -> None:
    """Turning the other rows around changes no bit of row 0: it only knows their lengths."""
    values = np.random.default_rng(0).normal(size=(9, 4))
    turned = values * np.array([1.0, *[-1.0] * 8])[:, None]
    before, after = (_prepare(spec, v, 2).values[:, :] for v in (values, turned))
    assert_same_bits(after[0], before[0])
    assert_same_bits(after[1:], -before[1:])
