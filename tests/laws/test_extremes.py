"""Every rule, resilient or not, on what no honest cohort sends: a number comes out, not a NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import Aggregate, Defense, Step, build, find
from tests.laws.laws import assert_close
from tests.laws.subjects import Cohort, Subject, aggregators

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array

SUBJECTS = tuple(aggregators())
by_rule = pytest.mark.parametrize("subject", SUBJECTS, ids=str)
by_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def run(subject: Subject, values: Array, byzantine: int, trusted: Array | None = None) -> Aggregate:
    """Run a rule and look at what has to hold whatever the updates are."""
    outcome = subject.run(Cohort(values, byzantine, np.ones(len(values)), trusted))
    assert outcome.vector.shape == values.shape[1:]
    assert np.isfinite(outcome.vector).all()
    if outcome.influence is not None:
        assert (outcome.influence >= 0).all()
        assert outcome.influence.sum() == pytest.approx(1.0) or not outcome.vector.any()
    return outcome


@pytest.mark.parametrize("columns", [1, 4])
@pytest.mark.parametrize("byzantine", [0, 1, 2])
@by_dtype
@by_rule
def test_rows_far_larger_than_the_others(
    subject: Subject, dtype: type[np.floating], byzantine: int, columns: int
) -> None:
    """At the smallest n: f rows, or one, 10^30 times the others, or as large as there is."""
    n, rng = subject.min_clients(byzantine), np.random.default_rng(0)
    honest = rng.normal(size=(n, columns)).astype(dtype)
    for size in (1e30, float(np.finfo(dtype).max)):
        for liars in ([0], [n - 1], range(min(byzantine, n))):
            values = honest.copy()
            values[list(liars)] = size * np.sign(honest[list(liars)])
            run(subject, values, byzantine, trusted=honest[-1])


@pytest.mark.parametrize("byzantine", [0, 2])
@by_dtype
@by_rule
def test_rows_that_say_nothing(subject: Subject, dtype: type[np.floating], byzantine: int) -> None:
    """Zeros, a majority of zeros, equal rows, and a trusted update of length zero."""
    n = subject.min_clients(byzantine)
    zeros = np.zeros((n + 1, 3), dtype)
    assert not run(subject, zeros, byzantine).vector.any()
    equal = np.full((n, 3), 7.0, dtype)
    assert_close(run(subject, equal, byzantine).vector, equal[0], equal)
    run(subject, equal, byzantine, trusted=zeros[0])
    some = zeros.copy()
    some[: byzantine or 1] = 5.0
    run(subject, some, byzantine, trusted=equal[0])


@pytest.mark.parametrize("pre", ["nnm", "clip", "clip | nnm"])
@by_rule
def test_rows_that_exist_only_block_by_block(subject: Subject, pre: str) -> None:
    """Behind a mixing step a rule reads what is computed where it looks."""
    values = np.random.default_rng(1).normal(size=(13, 9))
    given: dict[str, Any] = {"weights": np.ones(13), "trusted": values[0]}
    mixed: list[Array] = []

    def look(rows: Any) -> Aggregate:  # noqa: ANN401 - rows of any kind
        mixed.append(np.array(rows[:, :]))
        return Aggregate(mixed[-1][0].copy())

    probe = replace(find("aggregator", "mean"), apply=look)
    steps = build(f"{pre} | {subject}", byzantine=2).steps
    Defense((*steps[:-1], Step(probe)), 2).aggregate(values)
    lazy = build(steps, byzantine=2).aggregate(values, **given).vector
    whole = build(str(subject), byzantine=2).aggregate(mixed[-1], **given).vector
    np.testing.assert_allclose(lazy, whole, rtol=1e-9, atol=1e-12)
