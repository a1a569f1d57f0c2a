"""The layout of a model, the matrix of a round and the builder that fills it."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quickthorn.strategies.errors import UpdateError
from quickthorn.strategies.kernels.mapped import release
from quickthorn.strategies.updates import MatrixBuilder, ModelLayout, UpdateMatrix, check_values

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = st.sampled_from(["f2", "f4", "f8", "i8", "i4", "u1", "?"])
MODELS = st.dictionaries(
    st.text(min_size=1, max_size=4),
    DTYPES.flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
    ),
    min_size=1,
    max_size=5,
).filter(lambda model: any(array.dtype.kind == "f" for array in model.values()))


@given(model=MODELS)
def test_flatten_and_unflatten_round_trip_to_the_bit(
    model: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]],
) -> None:
    layout = ModelLayout.of(model)
    weights, counters = layout.flatten(model)
    assert weights.shape == (layout.size,)
    assert counters.shape == (layout.counter_size,)
    assert weights.dtype == layout.dtype
    back = layout.unflatten(weights, counters)
    assert list(back) == list(model)
    for name, array in model.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        if array.dtype.kind == "f":  # the payload of a NaN is not a number to keep
            np.testing.assert_array_equal(np.isnan(back[name]), np.isnan(array))
            array = np.where(np.isnan(array), array.dtype.type(0), array)  # noqa: PLW2901 - see above
            back[name] = np.where(np.isnan(back[name]), array.dtype.type(0), back[name])
        assert back[name].tobytes() == array.tobytes()
        assert not np.shares_memory(back[name], weights)
        assert not np.shares_memory(back[name], counters)


def test_a_float64_tensor_makes_rows_float64_and_float16_alone_float32() -> None:
    half, double = np.ones(2, np.float16), np.ones(1, np.float64)
    assert ModelLayout.of({"a": half}).dtype == np.float32
    assert ModelLayout.of({"a": half, "b": double}).dtype == np.float64


def test_counters_stand_apart() -> None:
    model = {
        "seen": np.array(2**62 + 1),
        "w": np.array([[1.0, 2.0]], np.float32),
        "frozen": np.array([True, False]),
        "b": np.array(3.0, np.float32),
    }
    layout = ModelLayout.of(model)
    assert [tensor.name for tensor in layout.weights] == ["w", "b"]
    assert [tensor.name for tensor in layout.counters] == ["seen", "frozen"]
    assert (layout.size, layout.counter_size, layout.nbytes) == (3, 3, 8 + 8 + 2 + 4)
    weights, counters = layout.flatten(dict(reversed(model.items())))
    assert weights.tolist() == [1.0, 2.0, 3.0]
    assert counters.tolist() == [2**62 + 1, 1, 0]
    assert layout.unflatten(weights, counters)["seen"] == 2**62 + 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "nothing to aggregate"),
        ({"n": np.array(3)}, "nothing to aggregate"),
        ({"w": np.ones((0, 4))}, "nothing to aggregate"),
        ({"w": np.ones(2, complex)}, "tensor 'w' has dtype complex128"),
        ({"w": np.array([None])}, "tensor 'w' has dtype object"),
        ({"w": np.array(["a"])}, "tensor 'w' has dtype <U1"),
        ({"w": np.ones(2, np.longdouble)}, "tensor 'w' has dtype float128"),
    ],
)
def test_a_model_that_cannot_be_aggregated_is_refused(
    model: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]], message: str
) -> None:
    with pytest.raises(UpdateError, match=message):
        ModelLayout.of(model)


def test_rows_lie_in_the_order_of_the_ids_and_cannot_be_written() -> None:
    matrix = UpdateMatrix.of({"b": np.full(2, 2.0), "a": np.full(2, 1.0), "B": np.zeros(2)})
    assert matrix.clients == ("B", "a", "b")
    assert matrix.values[:, 0].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        matrix.values[0, 0] = 5.0


@pytest.mark.parametrize("clients", [("b", "a"), ("a", "a")])
def test_ids_must_ascend(clients: tuple[str, str]) -> None:
    with pytest.raises(UpdateError, match="unique and ascending"):
        UpdateMatrix(np.ones((2, 1)), clients)


def test_one_row_per_client() -> None:
    with pytest.raises(UpdateError, match="2 rows need as many client ids"):
        UpdateMatrix(np.ones((2, 1)), ("a",))


def test_a_matrix_refuses_what_is_not_finite() -> None:
    with pytest.raises(UpdateError, match="rows 1 hold NaN or infinity"):
        UpdateMatrix.of({"a": np.zeros(2), "b": np.array([0.0, np.nan])})


def test_no_masked_array_passes_for_a_matrix() -> None:
    with pytest.raises(UpdateError, match=r"must be an \(n, d\) array with"):
        check_values(np.ma.masked_array(np.ones((3, 2))))


@given(kept=st.sets(st.integers(0, 7), min_size=1), order=st.permutations(range(8)))
def test_the_builder_closes_the_gaps_whatever_the_order(kept: set[int], order: list[int]) -> None:
    builder = MatrixBuilder([f"c{i}" for i in order], size=3, dtype=np.dtype("f4"))
    for i in order:
        builder.row(f"c{i}")[:] = i if i in kept else np.nan  # a refused row may hold anything
        if i in kept:
            builder.keep(f"c{i}", weight=10.0 * i)
    matrix = builder.finish()
    assert matrix.clients == tuple(f"c{i}" for i in sorted(kept))
    assert matrix.values[:, 2].tolist() == sorted(kept)
    assert matrix.weights is not None
    assert matrix.weights.tolist() == [10.0 * i for i in sorted(kept)]


def test_the_builder_never_holds_a_second_matrix() -> None:
    n, d = 20, 100_000
    whole = n * d * 4
    tracemalloc.start()
    try:
        builder = MatrixBuilder([f"c{i:02}" for i in range(n)], size=d, dtype=np.dtype("f4"))
        for i in range(n):
            builder.row(f"c{i:02}")[:] = i
            if i != 3:
                builder.keep(f"c{i:02}")
        matrix = builder.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert matrix.values.shape == (n - 1, d)
    assert peak < 1.2 * whole


def test_a_file_may_hold_the_matrix(tmp_path: Path) -> None:
    values = np.memmap(tmp_path / "updates", np.float32, "w+", shape=(4, 5000))
    builder = MatrixBuilder("abcd", size=5000, dtype=np.dtype("f4"), values=values)
    for number, client in enumerate("dbca"):
        builder.row(client)[:] = number
        if client != "b":
            builder.keep(client)

    matrix = builder.finish()

    assert matrix.clients == ("a", "c", "d")
    assert matrix.values[:, 4999].tolist() == [3.0, 2.0, 0.0]
    assert np.shares_memory(matrix.values, values)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_letting_go_of_pages_loses_nothing(mode: Literal["c", "r+"], tmp_path: Path) -> None:
    np.zeros(5000).tofile(tmp_path / "updates")
    values = np.memmap(tmp_path / "updates", np.float64, mode)
    values[:] = 1.0

    release(values.view(np.ndarray)[10:])

    assert values.tolist() == [1.0] * 5000
    # Where changes reach no file, as with mode "c", the pages are the only place they are in.
    assert np.fromfile(tmp_path / "updates")[0] == (mode == "r+")


def test_many_short_rows_are_checked_together_and_named_apart() -> None:
    values = np.zeros((70_000, 2))
    values[[3, 65_000, 69_999], 1] = np.inf, np.nan, -np.inf
    with pytest.raises(UpdateError, match="rows 3, 65000, 69999 hold NaN or infinity"):
        check_values(values)
    values[:] = np.finfo(np.float64).max  # whose sum is infinite, and they are not
    check_values(values)


def test_a_builder_without_a_kept_row_has_no_matrix() -> None:
    with pytest.raises(UpdateError, match=r"shape \(0, 2\)"):
        MatrixBuilder(["a"], size=2, dtype=np.dtype("f4")).finish()


def test_a_matrix_does_not_lock_the_array_that_it_was_given() -> None:
    values = np.ones((2, 3))
    matrix = UpdateMatrix(values, ("a", "b"))
    values[0, 0] = 2.0
    with pytest.raises(ValueError, match="read-only"):
        matrix.values[0, 0] = 3.0


def test_rows_that_make_no_matrix_and_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UpdateError, match="need one length"):
        UpdateMatrix.of({})
    with pytest.raises(UpdateError, match="need one length"):
        UpdateMatrix.of({"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(UpdateError, match=r"shape \(2,\); got \(3,\)"):
        UpdateMatrix(np.ones((2, 3)), ("a", "b"), np.ones(3))
