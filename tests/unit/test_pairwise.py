"""The Gram matrix: exact where float32 fails, the same bits in any layout and on any threads."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from operator import mul
from typing import Any

import numpy as np
import pytest

from quickthorn.strategies.kernels import products
from quickthorn.strategies.kernels.blocks import SMALL
from quickthorn.strategies.kernels.pairwise import gram, squared_distances
from quickthorn.strategies.kernels.products import compiled_gram
from quickthorn.strategies.kernels.rows import mix

Matrix = np.ndarray[Any, np.dtype[Any]]


def normal(n: int, d: int, dtype: type = np.float64) -> Matrix:
    values: Matrix = np.random.default_rng(n).normal(size=(n, d)).astype(dtype)
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 11, 12, 13, 33])
def test_the_compiled_products_are_those_of_numpy(n: int, dtype: type) -> None:
    for d in (1, 255, 256, 257, 20_000):
        values = normal(n, d, dtype)
        exact = values.astype(np.float64)
        got = compiled_gram(values)
        sizes = np.linalg.norm(exact, axis=1)
        assert (np.abs(got - exact @ exact.T) <= 1e-14 * sizes[:, None] * sizes).all()
        assert (got == got.T).all()


def test_ten_million_columns_are_as_exact_as_differences() -> None:
    """Two rows differ by 1e-4 of their length: float32 has no digit of that left."""
    d = 10**7
    rng = np.random.default_rng(0)
    one = rng.normal(size=d).astype(np.float32)
    other = one + np.float32(1e-4) * rng.normal(size=d).astype(np.float32)
    values = np.stack([one, other])
    difference = one.astype(np.float64)
    difference -= other
    exact = float(difference @ difference)
    assert squared_distances(values)[0, 1] == pytest.approx(exact, rel=1e-6)
    products32 = values @ values.T
    naive = products32[0, 0] + products32[1, 1] - 2 * products32[0, 1]
    assert abs(float(naive) - exact) > exact


def test_every_product_of_float32_enters_without_rounding() -> None:
    values = np.random.default_rng(1).normal(size=(3, 300)).astype(np.float32)
    rows = [[Fraction(float(x)) for x in row] for row in values]
    exact = [[sum(map(mul, one, other)) for other in rows] for one in rows]
    np.testing.assert_allclose(compiled_gram(values), np.array(exact, float), atol=1e-13)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_and_layout_change_no_bit(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = normal(9, 70_000, np.float32)
    expected = compiled_gram(values).tobytes()
    monkeypatch.setenv("QUICKTHORN_THREADS", threads)
    wide = np.zeros((18, 140_000), np.float32)
    wide[::2, ::2] = values
    for view in (values, np.asfortranarray(values), wide[::2, ::2], mix(np.eye(9), values)):
        assert compiled_gram(view).tobytes() == expected
    values.flags.writeable = False
    assert compiled_gram(values).tobytes() == expected


def test_a_row_that_overflows_spoils_only_its_own_entries() -> None:
    values = normal(7, 60_000)
    values[2] *= 1e200
    got, calm = compiled_gram(values), compiled_gram(np.delete(values, 2, axis=0))
    assert (np.delete(np.delete(got, 2, axis=0), 2, axis=1) == calm).all()
    assert not np.isfinite(got[2]).all()
    distances = squared_distances(values)
    assert np.isposinf(np.delete(distances[2], 2)).all()
    assert np.isfinite(np.delete(np.delete(distances, 2, axis=0), 2, axis=1)).all()


@pytest.mark.parametrize("scale", [1e-43, 1e-20, 1e30])
def test_float32_of_any_size_stays_in_range(scale: float) -> None:
    values = (normal(6, 50_000) * scale).astype(np.float32)
    exact = values.astype(np.float64)
    slack = 1e-7 * scale**2
    np.testing.assert_allclose(gram(values), exact @ exact.T, rtol=1e-9, atol=slack)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e200])
def test_float64_beyond_the_squares_is_compared_in_other_units(scale: float) -> None:
    values = normal(6, 50_000) * scale
    distances = squared_distances(values)
    unit = squared_distances(normal(6, 50_000))
    assert (np.argsort(distances, axis=1) == np.argsort(unit, axis=1)).all()


def test_small_matrices_do_not_load_numba() -> None:
    code = (
        "import sys, numpy as np\n"
        "from quickthorn.strategies import available, build\n"
        "for pre in ('', 'clip | ', 'arc | ', 'nnm | '):\n"
        "    for name in available()['aggregator']:\n"
        "        defense = build(pre + name, byzantine=1)\n"
        "        defense.aggregate(np.ones((20, 50)), weights=np.ones(20), trusted=np.ones(50))\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_large_matrices_take_the_compiled_form(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def watched(values: Matrix) -> Matrix:
        seen.append(values.shape)
        return compiled_gram(values)

    monkeypatch.setattr(products, "compiled_gram", watched)
    values = normal(4, SMALL // 4)
    large = gram(values)
    np.testing.assert_allclose(large, values @ values.T, rtol=1e-12, atol=1e-9)
    gram(values[:, :-1])
    assert seen == [values.shape]
