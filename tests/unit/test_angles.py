"""Cosines and mixtures of directions, against their twins, whatever the size of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quickthorn.strategies.kernels.angles import (
    angles_to,
    cosine_matrix,
    exponents_of,
    mix_scaled,
)
from tests.naive.angles import cosine, direction

Rows = np.ndarray[Any, np.dtype[Any]]


def rows_of_every_size(dtype: type[np.floating]) -> Rows:
    """Small, ordinary, huge, zero and denormal rows, a duplicate and an opposite."""
    rows = np.random.default_rng(0).normal(size=(9, 7))
    largest = 1e38 if dtype is np.float32 else 1e308
    rows[1] *= largest / 10
    rows[2] *= 1e-30
    rows[3] = 0.0
    rows[4] *= 1e-43 if dtype is np.float32 else 1e-320
    rows[5], rows[6] = rows[0], -2.0 * rows[0]
    return rows.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosines_of_all_pairs(dtype: type[np.floating]) -> None:
    rows = rows_of_every_size(dtype)
    expected = [[cosine(one, other) for other in rows.tolist()] for one in rows.tolist()]
    found = cosine_matrix(rows)
    np.fill_diagonal(found, np.diag(expected))  # by definition 1, for the row of zeros as well
    np.testing.assert_allclose(found, expected, atol=1e-15)
    assert np.diag(cosine_matrix(rows)).tolist() == [1.0] * 9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chosen", range(9))
def test_angles_to_a_vector(chosen: int, dtype: type[np.floating]) -> None:
    rows = rows_of_every_size(dtype)
    angles = angles_to(rows[chosen], rows, exponents_of(rows))
    expected = [cosine(row, rows[chosen].tolist()) for row in rows.tolist()]
    np.testing.assert_allclose(angles.cosines, expected, atol=1e-15)
    assert angles.length == pytest.approx(np.hypot.reduce(rows[chosen].astype(np.float64)))
    assert (angles.lengths > 0.5).tolist() == [True] * 3 + [False] + [True] * 5


def test_a_mixture_of_directions_has_the_length_that_is_asked_for() -> None:
    rows = rows_of_every_size(np.float64)
    exponents = exponents_of(rows)
    lengths = angles_to(rows[0], rows, exponents).lengths
    for place in (0, 1, 2, 4):
        factors = np.eye(1, 9, place)[0] / np.maximum(lengths, 0.5)
        mixed = mix_scaled(factors, rows, exponents, length=3.0)
        np.testing.assert_allclose(mixed, 3.0 * np.array(direction(rows[place].tolist())))
    assert mix_scaled(np.zeros(9), rows, exponents, length=3.0).tolist() == [0.0] * 7
