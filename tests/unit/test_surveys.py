"""One pass over rows: against its twin, in both forms, and what a sketch keeps of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.strategies.facts import Facts
from quickthorn.strategies.kernels import blocks, surveys
from quickthorn.strategies.kernels.blocks import SMALL
from quickthorn.strategies.kernels.mapped import MappedRows
from quickthorn.strategies.kernels.rows import mix
from quickthorn.strategies.kernels.surveys import Survey, sketch, survey
from tests.naive import surveys as naive

if TYPE_CHECKING:
    from numpy.typing import NDArray

N, D = 4, 17_000
TENSORS = [slice(0, 16_500), slice(16_500, 16_503), slice(16_503, 16_503), slice(16_503, D)]


def draw(n: int = N, d: int = D, dtype: Any = np.float32) -> tuple[NDArray[Any], NDArray[Any]]:  # noqa: ANN401 - numpy's
    rows = np.random.default_rng(0).normal(size=(n, d)).astype(dtype)
    rows[1, ::3] = 0.0
    return rows, np.median(rows, axis=0)


def look(rows: Any, center: NDArray[Any], tensors: list[slice] | None = None) -> Survey:  # noqa: ANN401 - any rows
    none = np.zeros(len(rows), np.int64)
    return survey(rows, center, none, tensors or [slice(0, rows.shape[1])])


def assert_same(one: Survey, other: Survey) -> None:
    for name in ("products", "apart", "signs", "sketches"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("form", ["numpy", "compiled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_survey_is_that_of_its_twin(
    dtype: type, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, center = draw(dtype=dtype)
    monkeypatch.setattr(surveys, "is_small", lambda values: form == "numpy")
    slow, middle = rows.tolist(), center.tolist()
    tensors = [range(tensor.start, tensor.stop) for tensor in TENSORS]

    found = look(rows, center, TENSORS)

    np.testing.assert_allclose(found.products, naive.products(slow, middle), rtol=1e-12)
    np.testing.assert_allclose(found.apart, naive.apart(slow, middle, tensors), rtol=1e-12)
    assert found.signs.tolist() == naive.signs(slow)
    expected = [naive.sketch(row, tensors) for row in slow]
    np.testing.assert_allclose(found.sketches, expected, rtol=1e-12, atol=1e-12)


def test_both_forms_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, center = draw()
    plain = look(rows, center, TENSORS)
    monkeypatch.setattr(surveys, "is_small", lambda values: False)

    assert_same(look(rows, center, TENSORS), plain)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sketch_of_a_vector_has_the_bits_of_its_rows(dtype: type) -> None:
    rows, center = draw(dtype=dtype)
    sketches = np.array([sketch(row) for row in rows])
    assert sketches.tobytes() == look(rows, center).sketches.tobytes()


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e160, 1e300])
def test_a_model_of_any_size_has_a_place(size: float) -> None:
    model = draw(dtype=np.float64)[0][0]
    place = Facts(model[None, :] * 0.0, model=model * size).place
    assert np.isfinite(place).all()
    np.testing.assert_allclose(place / size, sketch(model), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [3, SMALL // D + 1])
def test_threads_blocks_and_where_the_rows_lie_change_no_bit(
    n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, center = draw(n)
    whole = look(rows, center, TENSORS)

    assert_same(look(MappedRows(rows), center, TENSORS), whole)
    assert_same(look(mix(np.eye(n), rows), center, TENSORS), whole)
    assert_same(look(np.asfortranarray(rows), center, TENSORS), whole)
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 1000)
    for threads in ("1", "3"):
        monkeypatch.setenv("QUICKTHORN_THREADS", threads)
        assert_same(look(rows, center, TENSORS), whole)


def test_a_power_of_two_is_a_unit() -> None:
    rows, center = draw(dtype=np.float64)
    exponents = np.array([0, 3, -4, 1000])

    found = survey(rows * 2.0 ** exponents[:, None], center, exponents, [slice(0, D)])

    plain = look(rows, center)
    np.testing.assert_array_equal(found.sketches, plain.sketches)
    np.testing.assert_array_equal(found.signs, plain.signs)
    np.testing.assert_allclose(found.products, plain.products * 2.0**-exponents, rtol=1e-12)
    assert found.apart[3] == pytest.approx((rows[3] ** 2).sum())


def test_sketches_keep_lengths_and_angles() -> None:
    rows, center = draw(20, 50_000)
    rows[7] = rows[3] + rows[7] / 2

    sketches = look(rows, center).sketches

    lengths = np.linalg.norm(rows, axis=1)
    errors = (sketches @ sketches.T - rows @ rows.T) / lengths / lengths[:, None]
    assert np.abs(errors).max() < 4 / 16
    assert np.sqrt((errors**2).mean()) == pytest.approx(1 / 16, rel=0.2)
    difference = look(rows[3:4] - rows[7:8], center).sketches[0]
    np.testing.assert_allclose(difference, sketches[3] - sketches[7], atol=1e-3)


def test_every_process_and_version_makes_the_same_sketches() -> None:
    rows = np.zeros((1, 40_000))
    rows[0, [0, 300, 16_384, 39_999]] = [1.0, 2.0, 4.0, 8.0]

    sketch = look(rows, rows[0]).sketches[0]

    places = np.flatnonzero(sketch)
    found = dict(zip(places.tolist(), sketch[places].tolist(), strict=True))
    assert found == {7: -2.0, 48: 8.0, 76: 4.0, 219: 1.0}
