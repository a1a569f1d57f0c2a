"""The laws, one small function each; ``yield_laws`` says which a subject has to keep.

A law takes a subject and a cohort and asserts. ``TOLERANCE`` is the only slack: what n sums
in float64 (and one rounding to the dtype of the input) can lose, relative to the largest
value that the rule may have touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import assume

from quickthorn.strategies import UpdateMatrix, Votes
from quickthorn.strategies.supply import row_names
from tests.laws.cohorts import cohorts, generic_cohorts
from tests.laws.subjects import Cohort
from tests.laws.twins import is_decided, supply, twin
from tests.naive import RESCALED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.strategies import SearchStrategy

    from quickthorn.strategies.updates import Array
    from tests.laws.subjects import Subject

TOLERANCE = {np.dtype("f4"): 4e-7, np.dtype("f8"): 1e-13}


@dataclass(frozen=True)
class Law:
    """A check and the cohorts that it is tried on."""

    check: Callable[[Subject, Cohort], None]
    cohorts: Callable[[Subject], SearchStrategy[Cohort]] = cohorts

    @property
    def name(self) -> str:
        return self.check.__name__


def yield_laws(subject: Subject) -> Iterator[Law]:
    """Yield what ``subject`` has to keep, by its traits."""
    yield Law(arrival_order_changes_no_bit)
    yield Law(permutation_of_clients, generic_cohorts)
    yield Law(equal_rows_give_that_row)
    yield Law(shape_and_dtype_are_kept)
    yield Law(layout_in_memory_changes_no_bit)
    yield Law(inputs_stay_and_output_is_new)
    yield Law(same_call_same_bits)
    yield Law(influence_explains_the_vector)
    yield Law(excluded_rows_change_no_bit)
    yield Law(nodes_of_one_organization_are_one_client, generic_cohorts)
    yield Law(equal_to_the_naive_twin)
    if "translation" in subject.traits:
        yield Law(translation, generic_cohorts)
    if "scale" in subject.traits:
        yield Law(scale_by_a_power_of_two)
        yield Law(scale, generic_cohorts)
    if "rotation" in subject.traits:
        yield Law(rotation, generic_cohorts)
    if "containment" in subject.traits:
        yield Law(containment)


def arrival_order_changes_no_bit(subject: Subject, cohort: Cohort) -> None:
    """The rows of an UpdateMatrix lie in the order of the ids, whoever answered first."""
    ids = [f"client-{i:03}" for i in range(len(cohort.values))]
    rng = np.random.default_rng(len(ids))
    defense = subject.defense(cohort.byzantine)
    results = []
    for order in (range(len(ids)), rng.permutation(len(ids))):
        matrix = UpdateMatrix.of({ids[i]: cohort.values[i] for i in order})
        outcome = defense.aggregate(matrix, weights=cohort.weights, trusted=cohort.trusted)
        results.append(outcome.vector)
    assert_same_bits(*results)


def permutation_of_clients(subject: Subject, cohort: Cohort) -> None:
    """Who is called what makes no difference where nothing ties."""
    assume(is_decided(subject, cohort))
    order = np.random.default_rng(7).permutation(len(cohort.values))
    other = cohort.reordered(order)
    assert_close(subject.run(other).vector, subject.run(cohort).vector, cohort.values, subject)


def equal_rows_give_that_row(subject: Subject, cohort: Cohort) -> None:
    row = cohort.values[0]
    same = cohort.moved(np.tile(row, (len(cohort.values), 1)))
    assert_close(subject.run(same).vector, row, same.values)


def shape_and_dtype_are_kept(subject: Subject, cohort: Cohort) -> None:
    outcome = subject.run(cohort)
    assert outcome.vector.shape == cohort.values.shape[1:]
    assert outcome.vector.dtype == cohort.values.dtype
    assert np.isfinite(outcome.vector).all()
    if outcome.influence is not None:
        assert outcome.influence.shape == (len(cohort.values),)


def layout_in_memory_changes_no_bit(subject: Subject, cohort: Cohort) -> None:
    """Fortran order, strides and reversed strides hold the same numbers."""
    n, d = cohort.values.shape
    wide = np.zeros((2 * n, 3 * d), cohort.values.dtype)
    wide[::2, ::3] = cohort.values
    backward = np.ascontiguousarray(cohort.values[::-1, ::-1])[::-1, ::-1]
    expected = subject.run(cohort).vector
    for values in (np.asfortranarray(cohort.values), wide[::2, ::3], backward):
        assert_same_bits(subject.run(cohort.moved(values)).vector, expected)


def inputs_stay_and_output_is_new(subject: Subject, cohort: Cohort) -> None:
    values, weights = cohort.values.copy(), cohort.weights.copy()
    outcome = subject.run(cohort)
    assert_same_bits(cohort.values, values)
    assert_same_bits(cohort.weights, weights)
    for result in (outcome.vector, outcome.influence):
        assert result is None or not np.shares_memory(result, cohort.values)
        assert result is None or not np.shares_memory(result, cohort.weights)
    outcome.vector[:] = 1.0  # a result that may not be written to would alias something


def same_call_same_bits(subject: Subject, cohort: Cohort) -> None:
    """No state, clock or global generator hides in a rule."""
    first = subject.run(cohort).vector
    np.random.default_rng().normal(size=3)
    assert_same_bits(subject.run(cohort).vector, first)


def influence_explains_the_vector(subject: Subject, cohort: Cohort) -> None:
    """Influence sums to 1 and mixes the rows into the vector; None only per coordinate.

    Of a rule that changes the lengths of rows first, it mixes those.
    """
    outcome = subject.run(cohort)
    if outcome.influence is None:
        if subject.pre is None:
            for k in range(cohort.values.shape[1]):
                alone = subject.run(cohort.moved(cohort.values[:, [k]])).vector
                assert_same_bits(alone, outcome.vector[[k]])
        else:
            assert type(subject)((subject.aggregator,)).run(cohort).influence is None
        return
    assert (outcome.influence >= 0).all()
    nobody = not outcome.influence.any()
    assert abs(outcome.influence.sum() - 1.0) < 1e-12 or (nobody and not outcome.vector.any())
    rows = cohort.values
    if subject.aggregator.name in RESCALED:
        rescale = RESCALED[subject.aggregator.name]
        rows = np.array(rescale(rows.tolist(), cohort.trusted.tolist()), rows.dtype)
    if subject.pre is not None and "rowwise" in subject.pre.traits:
        rows = subject.pre.apply(cohort.values, **supply(subject.pre, cohort)).values[:, :]
    mixed = outcome.influence @ rows.astype(np.float64)
    assert_close(outcome.vector, mixed.astype(rows.dtype), rows, subject)


def excluded_rows_change_no_bit(subject: Subject, cohort: Cohort) -> None:
    """Rows without a vote, whatever they hold, might as well not be there."""
    rng = np.random.default_rng(len(cohort.values))
    count = int(rng.integers(1, 4))
    out = rng.choice(len(cohort.values) + count, count, replace=False)
    kept = np.delete(np.arange(len(cohort.values) + count), out)
    values = np.full((len(kept) + count, cohort.values.shape[1]), np.finfo(cohort.values.dtype).max)
    values = values.astype(cohort.values.dtype)
    weights = np.full(len(values), np.nan)
    values[kept], weights[kept] = cohort.values, cohort.weights
    votes = Votes.of(row_names(len(values)), excluded=set(map(str, out)))
    found = subject.run(Cohort(values, cohort.byzantine, weights, cohort.trusted, votes))
    expected = subject.run(cohort)
    assert_same_bits(found.vector, expected.vector)
    assert (found.influence is None) == (expected.influence is None)
    if found.influence is not None and expected.influence is not None:
        assert not found.influence[out].any()
        assert_same_bits(found.influence[kept], expected.influence)


def nodes_of_one_organization_are_one_client(subject: Subject, cohort: Cohort) -> None:
    """A client may as well answer by several nodes: updates x + t, x and x − t are one, x."""
    assume(is_decided(subject, cohort))
    n, d = cohort.values.shape
    size = float(np.abs(cohort.values).max())
    shift = np.random.default_rng(9).uniform(-size, size, d).astype(cohort.values.dtype)
    row, claim = cohort.values[0], cohort.weights[0]
    values = np.vstack([row + shift, cohort.values, row - shift])
    weights = np.array([claim / 4, claim / 2, *cohort.weights[1:], claim / 4])
    votes = Votes.of(row_names(n + 2), organizations=dict.fromkeys(("0", "1", str(n + 1)), "one"))
    found = subject.run(Cohort(values, cohort.byzantine, weights, cohort.trusted, votes))
    expected = subject.run(cohort)
    assert_close(found.vector, expected.vector, 3 * values, subject)
    if found.influence is not None:
        assert found.influence[0] == found.influence[1] == found.influence[-1]


def equal_to_the_naive_twin(subject: Subject, cohort: Cohort) -> None:
    assume(is_decided(subject, cohort))
    expected = twin(subject, cohort).astype(cohort.values.dtype)
    assert_close(subject.run(cohort).vector, expected, cohort.values, subject)


def translation(subject: Subject, cohort: Cohort) -> None:
    """A(x + t) = A(x) + t."""
    assume(is_decided(subject, cohort))
    size = float(np.abs(cohort.values).max())
    shift = np.random.default_rng(3).uniform(-size, size, cohort.values.shape[1])
    shift = shift.astype(cohort.values.dtype)
    moved = cohort.moved(cohort.values + shift)
    assert_close(
        subject.run(moved).vector,
        subject.run(cohort).vector + shift,
        2 * np.abs(moved.values),
        subject,
    )


def scale_by_a_power_of_two(subject: Subject, cohort: Cohort) -> None:
    """A(2x) = 2 A(x) to the bit, ties and all: doubling rounds nothing."""
    tiny = np.finfo(cohort.values.dtype).tiny / np.finfo(cohort.values.dtype).eps
    assume(((np.abs(cohort.values) > tiny) | (cohort.values == 0)).all())
    doubled = subject.run(cohort.moved(cohort.values * 2)).vector
    assert_close(doubled, subject.run(cohort).vector * 2, cohort.values, subject)


def scale(subject: Subject, cohort: Cohort) -> None:
    """A(cx) = c A(x), for negative c as well."""
    assume(is_decided(subject, cohort))
    for factor in (-1.0, -3.0, 0.37):
        factor = cohort.values.dtype.type(factor)  # noqa: PLW2901 - the same number, rounded
        scaled = subject.run(cohort.moved(cohort.values * factor)).vector
        assert_close(
            scaled, subject.run(cohort).vector * factor, 3 * np.abs(cohort.values), subject
        )


def rotation(subject: Subject, cohort: Cohort) -> None:
    """A(xQ) = A(x)Q for orthogonal Q."""
    assume(is_decided(subject, cohort))
    d = cohort.values.shape[1]
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(d, d)))[0]
    turned = (cohort.values.astype(np.float64) @ turn).astype(cohort.values.dtype)
    expected = subject.run(cohort).vector.astype(np.float64) @ turn
    assert_close(
        subject.run(cohort.moved(turned)).vector,
        expected.astype(cohort.values.dtype),
        d * np.abs(cohort.values),
        subject,
    )


def containment(subject: Subject, cohort: Cohort) -> None:
    """Every coordinate lies among the honest ones, whatever f liars send."""
    f, n = cohort.byzantine, len(cohort.values)
    size = float(np.abs(cohort.values).max())
    for attack in (np.finfo(cohort.values.dtype).max, -1e3 * size, 0.0, 0.5 * size):
        for liars in (range(f), range(n - f, n)):
            values = cohort.values.copy()
            values[list(liars)] = attack
            honest = np.delete(values, list(liars), axis=0)
            vector = subject.run(cohort.moved(values)).vector.astype(np.float64)
            slack = slack_of(honest)
            assert (vector >= honest.min(axis=0) - slack).all()
            assert (vector <= honest.max(axis=0) + slack).all()


def slack_of(values: Array) -> float:
    """Rounding of a few float64 sums and one cast, at the size of ``values``."""
    smallest = float(np.finfo(values.dtype).smallest_subnormal)
    return TOLERANCE[values.dtype] * float(np.abs(values).max()) + len(values) * smallest


def assert_close(
    got: Array, expected: Array, values: Array, subject: Subject | None = None
) -> None:
    """Compare within the rounding of sums, or the accuracy of a rule that is solved for."""
    assert got.dtype == expected.dtype
    gap = np.abs(got.astype(np.float64) - expected.astype(np.float64)).max()
    allowed = slack_of(values) * (subject.condition if subject else 1.0)
    if subject is not None and subject.accuracy:
        allowed += subject.accuracy * float(np.abs(values).max())
    assert gap <= allowed, f"off by {gap}, allowed {allowed}"


def assert_same_bits(got: Array, expected: Array) -> None:
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
