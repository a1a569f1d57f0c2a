"""Mixed rows: what a whole matrix would hold, block by block, and no whole matrix anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies import available, build, find
from quickthorn.strategies.kernels.rows import combine, mix, row_norms, row_peaks

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


@pytest.mark.parametrize("pre", ["clip", "arc", "nnm", "bucketing", "clip | nnm | bucketing"])
@pytest.mark.parametrize("name", available()["aggregator"])
def test_every_rule_runs_behind_every_step_as_on_the_rows_themselves(pre: str, name: str) -> None:
    values = normal(16, 33)
    values[3] *= 40.0
    byzantine = 1
    weights = np.arange(1.0, 17.0)
    got = build(f"{pre} | {name}", byzantine=byzantine).aggregate(values, weights=weights)
    rows, claims = values, weights
    for text in pre.split(" | "):
        given: dict[str, Any] = {"byzantine": byzantine, "rng": np.random.default_rng(0)}
        spec = find("preaggregator", text)
        mixed = spec.apply(rows, **{key: given[key] for key in spec.supplied})
        rows = np.asarray(mixed.values)
        if mixed.mixing is not None and len(rows) < len(claims):
            claims = mixed.mixing @ claims
    plain = build(name, byzantine=byzantine).aggregate(rows, weights=claims)
    np.testing.assert_allclose(got.vector, plain.vector, rtol=1e-9, atol=1e-9)


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
