"""The same laws for updates that are a torch tensor, whose rows stay where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quickthorn.strategies import Aggregate, build
from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.kernels.pairwise import gram
from tests.laws.laws import (
    Law,
    arrival_order_changes_no_bit,
    assert_close,
    layout_in_memory_changes_no_bit,
    yield_laws,
)
from tests.laws.subjects import SUBJECTS, Cohort, Subject
from tests.laws.test_laws import EXEMPT

if TYPE_CHECKING:
    from collections.abc import Iterator

# About what numpy alone has: strides, and a matrix that its ids have put in order.
BY_NUMPY = (layout_in_memory_changes_no_bit, arrival_order_changes_no_bit)

by_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=str)


class OnTensors(Subject):
    """A subject that gets its rows as a tensor, and whose vector must be one."""

    def run(self, cohort: Cohort) -> Aggregate:
        rows = torch.from_numpy(np.ascontiguousarray(cohort.values))
        found = self.defense(cohort.byzantine).aggregate(
            rows, votes=cohort.votes, weights=cohort.weights, trusted=cohort.trusted
        )
        assert isinstance(found.vector, torch.Tensor)
        return Aggregate(found.vector.numpy(), found.influence, found.state)


def _cases() -> Iterator[object]:
    for subject in SUBJECTS:
        for law in yield_laws(subject):
            if (str(subject), law.name) not in EXEMPT and law.check not in BY_NUMPY:
                yield pytest.param(OnTensors(subject.specs), law, id=f"{subject}-{law.name}")


@pytest.mark.parametrize(("subject", "law"), list(_cases()))
@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_law(subject: Subject, law: Law, data: st.DataObject) -> None:
    law.check(subject, data.draw(law.cohorts(subject)))


def _wide(subject: Subject) -> Cohort:
    """Return a cohort that is read in several chunks, and in which nothing ties."""
    rng = np.random.default_rng(3)
    n = subject.min_clients(1) + 3
    values = rng.normal(size=(n, 70_000)).astype(np.float32)
    return Cohort(values, 1, rng.integers(1, 9, n).astype(np.float64))


@by_subject
def test_a_wide_matrix_gives_what_numpy_gives(subject: Subject) -> None:
    cohort = _wide(subject)
    expected, found = subject.run(cohort), OnTensors(subject.specs).run(cohort)
    assert_close(found.vector, expected.vector, cohort.values)
    assert (found.influence is None) == (expected.influence is None)
    if found.influence is not None and expected.influence is not None:
        np.testing.assert_allclose(found.influence, expected.influence, atol=1e-9)


@by_subject
def test_no_more_than_n_by_n_numbers_leave_the_device(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = _wide(subject)
    rows = torch.from_numpy(cohort.values)
    most = []
    for name in ("cpu", "numpy", "tolist", "item", "__array__"):
        original = getattr(torch.Tensor, name)

        def guard(tensor: torch.Tensor, *args: Any, original: Any = original, **kwargs: Any) -> Any:  # noqa: ANN401 - any method's
            most.append(tensor.numel())
            return original(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, guard)
    subject.defense(1).aggregate(rows, weights=cohort.weights, trusted=cohort.trusted)
    assert max(most, default=0) <= len(rows) ** 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.ones(3), r"shape \(3,\)"),
        (torch.ones((3, 2), dtype=torch.float16), "float32 or float64; got torch.float16"),
        (torch.ones((3, 2), dtype=torch.int64), "got torch.int64"),
        (torch.tensor([[1.0], [torch.nan], [torch.inf]]), "rows 1, 2 hold NaN or infinity"),
    ],
)
def test_a_tensor_that_is_no_matrix_of_updates_is_refused(
    values: torch.Tensor, message: str
) -> None:
    with pytest.raises(UpdateError, match=message):
        build("mean", byzantine=0).aggregate(values)


@pytest.mark.parametrize("rule", ["centered_clipping", "foolsgold"])
def test_a_state_goes_from_arrays_to_tensors_and_back(rule: str) -> None:
    """What a rule remembers on a device is what it remembers elsewhere, once it is copied."""
    rounds = np.random.default_rng(1).normal(size=(4, 6, 4)) + 1.0
    defense: Any = build(rule, byzantine=1)
    state: Any = None
    expected_state: Any = None
    for place, values in enumerate(rounds):
        rows: Any = torch.from_numpy(values) if place % 2 else values
        if rows is values and state is not None:  # as a checkpoint has it
            state = {
                key: {k: np.asarray(v) for k, v in kept.items()} for key, kept in state.items()
            }
        found = defense.aggregate(rows, state=state)
        expected = defense.aggregate(values, state=expected_state)
        np.testing.assert_allclose(np.asarray(found.vector), expected.vector, rtol=1e-12)
        state, expected_state = found.state, expected.state


def test_products_are_symmetric_to_the_bit() -> None:
    """Else the search of MDA, which asks either row of a pair, may keep a liar among the honest."""
    rows = np.random.default_rng(0).normal(size=(23, 12007))
    rows[:2] = -50 * rows[2:].mean(axis=0)
    tensor: Any = torch.from_numpy(rows)
    products = gram(tensor)
    assert np.array_equal(products, products.T)
    # Mixed, all honest rows are the same up to rounding, and no liar is near them.
    found = build("nnm | mda", byzantine=2).aggregate(tensor)
    assert found.influence is not None
    assert not found.influence[:2].any()


@pytest.mark.parametrize("rule", ["fltrust", "monna"])
def test_the_servers_own_update_may_be_a_tensor_too(rule: str) -> None:
    rows = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 8)) + 1.0)
    trusted = torch.ones(8, dtype=torch.float64)
    defense = build(rule, byzantine=1)
    expected = defense.aggregate(rows, trusted=trusted.numpy()).vector
    assert torch.equal(defense.aggregate(rows, trusted=trusted).vector, expected)  # type: ignore[arg-type]  # tensors, seen as arrays
    with pytest.raises(UpdateError, match="got a tensor, and the updates are an array"):
        defense.aggregate(rows.numpy(), trusted=trusted)
    with pytest.raises(UpdateError, match="holds NaN"):
        defense.aggregate(rows, trusted=trusted * torch.nan)
