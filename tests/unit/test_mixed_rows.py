"""Mixed rows: what a whole matrix would hold, block by block, and no whole matrix anywhere."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from quickthorn.strategies import available, build, find
from quickthorn.strategies.kernels.blocks import SMALL
from quickthorn.strategies.kernels.rows import (
    combine,
    mix,
    mixed_block,
    row_norms,
    row_peaks,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array


def sparse(m: int, n: int, seed: int = 0) -> NDArray[np.float64]:
    """Weights of which half are zero."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1.0, (m, n)) * (rng.random((m, n)) < 0.5)


def normal(n: int, d: int, dtype: type = np.float64) -> Array:
    return np.random.default_rng(n).normal(size=(n, d)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_the_whole_hold_the_product(dtype: type) -> None:
    weights, values = sparse(7, 9), normal(9, 40, dtype)
    rows = mix(weights, values)
    expected = weights @ values.astype(np.float64)
    assert rows.shape == (7, 40)
    assert len(rows) == 7
    assert rows.dtype == dtype
    whole = np.asarray(rows)
    assert whole.dtype == dtype
    np.testing.assert_allclose(whole, expected, rtol=1e-6 if dtype == np.float32 else 1e-14)
    some = np.array([5, 0])
    for columns in (slice(3, 17), slice(None), np.array([39, 0, 4]), np.arange(40) % 3 == 0):
        assert rows[:, columns].tobytes() == whole[:, columns].tobytes()
        assert rows[some, columns].tobytes() == whole[some][:, columns].tobytes()


def test_a_mixture_of_mixed_rows_is_one_mixture_of_the_base() -> None:
    first, second, values = sparse(6, 8), sparse(3, 6, seed=1), normal(8, 30)
    twice = mix(second, mix(first, values))
    assert twice.base is values
    np.testing.assert_allclose(twice.weights, second @ first, rtol=1e-14)
    combined = combine(second, mix(first, values))
    np.testing.assert_allclose(combined, second @ first @ values, rtol=1e-12)


def test_a_row_of_weight_zero_is_not_touched() -> None:
    values = np.array([[1.0, 2.0], [np.inf, np.nan], [3.0, 4.0]])
    assert mix(np.array([[0.5, 0.0, 0.5]]), values)[:, :].tolist() == [[2.0, 3.0]]
    assert combine(np.array([[0.5, 0.0, 0.5]]), values).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("n", [11, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mixture_is_summed_row_by_row_in_float64(dtype: type, n: int) -> None:
    values = normal(n, 40, dtype)
    for weights in (sparse(7, n), alike(n, 3), np.full((1, n), 1 / n), np.zeros((2, n))):
        slow = np.zeros((len(weights), 40))
        for i, j in np.ndindex(*weights.shape):
            slow[i] += weights[i, j] * values[j].astype(np.float64)
        found = mixed_block(weights, values, np.dtype(dtype))
        assert found.tobytes() == slow.astype(dtype).tobytes()


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e150, 1e308])
def test_clipping_a_row_of_any_length_leaves_its_direction(size: float) -> None:
    values = np.array([[0.6, 0.8], [0.8, -0.6], [0.6, 0.8]])
    values[1] *= size
    limit = min(1e-10 * size, 1.0)
    values[::2] *= limit
    for text in ("clip | krum", "arc | mean", "clip | median"):
        vector = build(text, byzantine=0 if "krum" in text else 1).aggregate(values).vector
        assert np.isfinite(vector).all()
    clipped = find("preaggregator", "clip").apply(values).values
    np.testing.assert_allclose(clipped[:, :][1], np.array([0.8, -0.6]) * limit, rtol=1e-9)
    np.testing.assert_allclose(row_norms(clipped), [limit] * 3, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200, 1e-310])
def test_norms_and_peaks_of_mixed_rows_are_those_of_the_rows(scale: float) -> None:
    rows = mix(sparse(5, 6), normal(6, 50) * scale)
    whole, center = np.asarray(rows), normal(1, 50)[0] * scale
    unit = whole / scale
    # Denormal numbers have few digits.
    tolerance = 1e-12 if scale > 1e-300 else 1e-4
    np.testing.assert_allclose(
        row_norms(rows) / scale, np.linalg.norm(unit, axis=1), rtol=tolerance
    )
    np.testing.assert_allclose(
        row_norms(rows, center) / scale,
        np.linalg.norm(unit - center / scale, axis=1),
        rtol=tolerance,
    )
    assert row_peaks(rows).tolist() == np.abs(whole).max(axis=1).tolist()


PIPELINES = [
    (pre, name)
    for pre in ("clip", "arc", "nnm", "bucketing", "clip | nnm | bucketing")
    for name in available()["aggregator"]
    if (name, "bucketing" in pre) != ("foolsgold", True)  # it refuses groups
]


@pytest.mark.parametrize(("pre", "name"), PIPELINES)
def test_every_rule_runs_behind_every_step_as_on_the_rows_themselves(pre: str, name: str) -> None:
    values = normal(16, 33)
    values[3] *= 40.0
    byzantine = 1
    weights = np.arange(1.0, 17.0)
    trusted = normal(1, 33)[0]
    defense = build(f"{pre} | {name}", byzantine=byzantine)
    got = defense.aggregate(values, weights=weights, trusted=trusted)
    rows, claims, rng = values, weights, np.random.default_rng(0)
    for text in pre.split(" | "):
        given: dict[str, Any] = {"byzantine": byzantine, "rng": rng}
        spec = find("preaggregator", text)
        mixed = spec.apply(rows, **{key: given[key] for key in spec.supplied & given.keys()})
        rows = np.asarray(mixed.values)
        if mixed.mixing is not None and len(rows) < len(claims):
            claims = mixed.mixing @ claims
    plain = build(name, byzantine=byzantine).aggregate(
        rows, weights=claims, trusted=trusted, rng=rng
    )
    np.testing.assert_allclose(got.vector, plain.vector, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pre", available()["preaggregator"])
def test_a_pipeline_holds_no_second_matrix(pre: str) -> None:
    values = normal(64, 1 << 17, np.float32)
    for name in ("krum", "mean", "trimmed_mean", "centered_clipping", "dnc"):
        defense = build(f"{pre} | {name}", byzantine=1)
        weights = np.ones(64)
        defense.aggregate(values[:, :100], weights=weights)  # imports
        defense.aggregate(values, weights=weights)  # compiles
        tracemalloc.start()
        try:
            outcome = defense.aggregate(values, weights=weights)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        own = outcome.vector.nbytes
        assert peak - own <= 0.1 * values.nbytes, f"{defense}: {peak / values.nbytes:.2f} matrices"


def test_a_memory_mapped_matrix_is_mixed_like_any_other(tmp_path: Path) -> None:
    values = normal(9, 500, np.float32)
    values.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=values.shape)
    for text in ("nnm | trimmed_mean", "clip | krum", "arc | centered_clipping"):
        defense = build(text, byzantine=1)
        assert (
            defense.aggregate(mapped).vector.tobytes() == defense.aggregate(values).vector.tobytes()
        )


def test_an_array_of_mixed_rows_is_never_a_view() -> None:
    rows = mix(np.eye(2), np.ones((2, 3)))
    with pytest.raises(ValueError, match="always new"):
        np.asarray(rows, copy=False)
    assert np.asarray(rows, np.float32).dtype == np.float32


def alike(n: int, f: int, seed: int = 0) -> NDArray[np.float64]:
    """Return weights as nearest-neighbor mixing makes them: 1/(n − f) or 0."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((n, n))
    for row in weights:
        row[rng.permutation(n)[: n - f]] = 1.0 / (n - f)
    return weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_compiled_mixture_has_the_bits_of_numpys(order: Literal["C", "F"], dtype: type) -> None:
    values = np.asarray(normal(11, SMALL // 11 + 1, dtype), order=order)
    for weights in (sparse(7, 11), np.diag(np.arange(11.0)), np.full((1, 11), 1 / 11)):
        rows = mix(weights, values)
        for columns in (slice(100, 1777), slice(5, 900, 3), np.array([3, 20_000, 7])):
            expected = mixed_block(weights, values[:, columns], np.dtype(dtype))
            assert rows[:, columns].tobytes() == expected.tobytes()
        assert combine(weights, values).tobytes() == np.asarray(rows).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_rows_have_in_common_is_summed_once(dtype: type) -> None:
    weights, values = alike(20, 4), normal(20, SMALL // 20 + 1, dtype)
    rows = mix(weights, values, shared=True)
    assert len(rows._plan.places) < 0.4 * np.count_nonzero(weights)
    exact = weights @ values.astype(np.float64)
    block = rows[:, 1000:3000]
    np.testing.assert_allclose(
        block, exact[:, 1000:3000], rtol=1e-6, atol=1e-15 if dtype == np.float64 else 1e-7
    )
    # The same bits in any block and for any choice of rows.
    assert rows[:, 1500:1501].tobytes() == block[:, 500:501].tobytes()
    some = np.array([7, 2])
    assert rows[some, 1000:3000].tobytes() == block[some].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e10, 1e30])
def test_liars_far_away_cost_nearest_neighbor_mixing_no_digit(size: float, dtype: type) -> None:
    """What most rows have in common holds nobody who is far from them."""
    values = normal(20, SMALL // 20 + 1, dtype)
    values[[3, 8, 12]] *= dtype(size)
    mixed = find("preaggregator", "nnm").apply(values, byzantine=4)
    got = mixed.values[:, :500]
    exact = mixed.mixing @ values[:, :500].astype(np.float64)
    scale = np.abs(values[:, :500]).max(axis=1)
    for row, expected, weights in zip(got, exact, mixed.mixing, strict=True):
        allowed = 2 * float(np.finfo(dtype).eps) * scale[weights > 0].max()
        assert np.abs(row - expected).max() <= allowed


def test_a_bucket_of_opposites_costs_the_other_rows_no_digit() -> None:
    """The mean of two rows may be short although the rows are long, so nothing is shared."""
    values = normal(7, SMALL // 7 + 1)
    values[0], values[1] = 1e30, -1e30
    means = np.eye(6, 7, 1)
    means[0, :2] = 0.5
    weights = (1.0 - np.eye(5, 6)) / 5  # row 0 alone lacks the bucket
    rows = mix(weights, mix(means, values), shared=True)
    np.testing.assert_allclose(rows[:1, :300][0], values[2:, :300].sum(axis=0) / 5, atol=1e-14)
    assert mix(weights, mix(np.eye(6, 7), values), shared=True).shared


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_change_no_bit_of_sums_and_norms(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, center = normal(9, 70_001, np.float32), normal(1, 70_001)[0]
    weights = sparse(2, 9)

    def results() -> bytes:
        return b"".join(
            result.tobytes()
            for result in (
                combine(weights, values),
                row_norms(values),
                row_norms(values, center),
                row_norms(np.asfortranarray(values), center),
                row_norms(mix(np.eye(9), values), center),
            )
        )

    monkeypatch.setenv("QUICKTHORN_THREADS", "2")
    expected = results()
    monkeypatch.setenv("QUICKTHORN_THREADS", threads)
    assert results() == expected
    np.testing.assert_allclose(
        row_norms(values, center), np.linalg.norm(values - center, axis=1), rtol=1e-12
    )
