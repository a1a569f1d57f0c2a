"""MDA, SMEA, CAF, Bulyan and the geometric median against oracles that share nothing with them."""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.optimize import minimize

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.bulyan import bulyan_picks
from quickthorn.strategies.aggregators.geometric_median import geometric_median
from quickthorn.strategies.aggregators.mda import mda, smallest_diameter
from quickthorn.strategies.aggregators.smea import smea
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.pairwise import central_gram, squared_distances
from tests.naive.subsets import bulyan_picks as naive_picks

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = ("bulyan", "caf", "geometric_median", "mda", "mean_around_median", "smea")


def cohorts() -> list[tuple[NDArray[np.float64], int]]:
    """Rows in general position, on a lattice full of ties, and with liars far away."""
    rng = np.random.default_rng(0)
    found = []
    for turn in range(60):
        n, d = int(rng.integers(1, 11)), int(rng.integers(1, 5))
        f = int(rng.integers(0, (n - 1) // 2 + 1))
        rows = rng.normal(size=(n, d))
        if turn % 3 == 0:
            rows = rng.integers(-2, 3, (n, d)).astype(np.float64)
        if turn % 3 == 1:
            rows[rng.permutation(n)[:f]] *= 10.0 ** rng.integers(1, 12)
        found.append((rows, f))
    return found


# Subsets, by looking at all of them ------------------------------------------------------


def chosen(influence: NDArray[np.float64] | None) -> tuple[int, ...]:
    assert influence is not None
    return tuple(np.flatnonzero(influence).tolist())


@pytest.mark.parametrize(("rows", "byzantine"), cohorts())
def test_mda_is_the_first_subset_of_the_smallest_diameter(
    rows: NDArray[np.float64], byzantine: int
) -> None:
    distances = squared_distances(rows)
    sets = list(combinations(range(len(rows)), len(rows) - byzantine))
    best = min(sets, key=lambda s: distances[np.ix_(s, s)].max())  # the first among equals
    assert chosen(mda(rows, byzantine=byzantine).influence) == best


@pytest.mark.parametrize(("rows", "byzantine"), cohorts())
def test_smea_has_the_smallest_largest_eigenvalue(
    rows: NDArray[np.float64], byzantine: int
) -> None:
    def spread(chosen: tuple[int, ...]) -> float:
        part = rows[list(chosen)]
        return float(np.linalg.norm(part - part.mean(axis=0), 2)) ** 2

    sets = list(combinations(range(len(rows)), len(rows) - byzantine))
    spreads = [spread(s) for s in sets]
    least = min(spreads) * (1 + 1e-9) + 1e-12
    first = next(s for s, value in zip(sets, spreads, strict=True) if value <= least)
    assert chosen(smea(rows, byzantine=byzantine).influence) == first


def test_the_diameter_search_copes_with_graphs_that_no_points_have() -> None:
    rng = np.random.default_rng(1)
    for turn in range(40):
        n = int(rng.integers(5, 12))
        size = n - int(rng.integers(1, n // 2 + 1))
        distances = rng.integers(1, 2 + turn % 5, (n, n)).astype(np.float64)
        distances[rng.random((n, n)) < 0.1] = np.inf
        distances = np.triu(distances, 1) + np.triu(distances, 1).T
        sets = list(combinations(range(n), size))
        best = min(sets, key=lambda s: distances[np.ix_(s, s)].max())
        assert tuple(smallest_diameter(distances, size)) == best


def test_a_search_without_end_is_refused_before_it_begins() -> None:
    with pytest.raises(ConfigurationError, match="byzantine <= 24; got 25"):
        build("mda", byzantine=25).aggregate(np.zeros((60, 1)))
    with pytest.raises(ConfigurationError, match=r"at most 50000; n=40 .* give 76904685"):
        build("smea", byzantine=8).aggregate(np.zeros((40, 1)))


def test_mda_decides_its_largest_f_among_random_distances() -> None:
    distances = np.random.default_rng(2).random((60, 60))
    distances = np.triu(distances, 1) + np.triu(distances, 1).T
    kept = smallest_diameter(distances, 36)
    assert len(kept) == 36
    assert kept == sorted(set(kept))


# Bulyan ---------------------------------------------------------------------------------


@pytest.mark.parametrize("byzantine", [0, 1, 2, 3])
def test_bulyan_picks_what_its_definition_picks_in_that_order(byzantine: int) -> None:
    rng = np.random.default_rng(byzantine)
    for kind in range(2):
        rows = rng.normal(size=(4 * byzantine + 5, 3))
        if kind:
            rows = np.round(rows)
        picks = bulyan_picks(squared_distances(rows), byzantine).tolist()
        assert picks == naive_picks(rows.tolist(), byzantine=byzantine)
        assert len(set(picks)) == len(rows) - 2 * byzantine


# The window around the median -----------------------------------------------------------


# The geometric median -------------------------------------------------------------------


def total(point: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(rows - point, axis=1).sum())


@pytest.mark.parametrize("seed", range(20))
def test_no_convex_solver_finds_a_better_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(rng.integers(3, 20), rng.integers(2, 8)))
    rows[: len(rows) // 3] += 10.0 ** (seed % 4)
    ours = geometric_median(rows).vector

    def smooth(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lengths = np.sqrt(((point - rows) ** 2).sum(axis=1) + 1e-18)
        return float(lengths.sum()), ((point - rows) / lengths[:, None]).sum(axis=0)

    start = np.median(rows, axis=0)
    options = {"gtol": 1e-12, "ftol": 0.0, "maxiter": 10_000}
    theirs = minimize(smooth, start, jac=True, method="L-BFGS-B", options=options).x
    assert total(ours, rows) <= total(theirs, rows) * (1 + 1e-12)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("far", [1e0, 1e6, 1e30])
@pytest.mark.parametrize("seed", range(10))
def test_the_pulls_of_the_rows_cancel(seed: int, far: float) -> None:
    """The condition of a minimum, by unit vectors; a row in the minimum holds against 1."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(rng.integers(3, 40), rng.integers(1, 8)))
    rows[: len(rows) // 3] *= far
    difference = rows - geometric_median(rows).vector
    lengths = np.linalg.norm(difference, axis=1)
    away = lengths > 1e-9
    pull = np.linalg.norm((difference[away] / lengths[away, None]).sum(axis=0))
    assert pull <= (~away).sum() + 1e-8


def test_a_triangle_has_its_fermat_point() -> None:
    """120 degrees between any two corners; Torricelli, 1645."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    x = (3.0 - sqrt(3.0)) / 6.0
    np.testing.assert_allclose(geometric_median(corners).vector, [x, x], atol=1e-12)


def test_a_corner_of_more_than_120_degrees_is_it_itself() -> None:
    corners = np.array([[-10.0, 1.0], [0.0, 0.0], [10.0, 1.0]])
    outcome = geometric_median(corners)
    assert outcome.vector.tolist() == [0.0, 0.0]
    assert chosen(outcome.influence) == (1,)


def test_four_corners_of_a_convex_quadrangle_meet_in_the_diagonals() -> None:
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 2.0]])
    np.testing.assert_allclose(geometric_median(corners).vector, [4 / 3, 4 / 3], atol=1e-10)


def test_on_a_line_it_is_the_median() -> None:
    for n in (1, 2, 5, 8):
        line = np.random.default_rng(n).normal(size=(n, 1)) * [[3.0, 4.0]]
        np.testing.assert_allclose(geometric_median(line).vector, np.median(line, 0), atol=1e-12)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 1.0, 2.0])
def test_a_tolerance_that_means_nothing_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0 and below 1"):
        geometric_median(np.ones((3, 1)), tolerance=tolerance)


# Far away -------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL)
def test_liars_beyond_the_range_of_squares_change_nothing(rule: str) -> None:
    """Their distances are infinite; the others are aggregated as if the liars were merely far."""
    honest = np.random.default_rng(0).normal(size=(9, 4))
    far = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, 1.0, -1.0]])
    defense = build(rule, byzantine=2)
    vectors = [
        defense.aggregate(np.concatenate([honest, far * size])).vector for size in (1e9, 1.7e308)
    ]
    if rule in {"caf", "geometric_median"}:  # far away still pulls, and still counts; infinity not
        assert all(np.linalg.norm(vector) < 2.0 for vector in vectors)
    else:
        np.testing.assert_allclose(vectors[0], vectors[1], rtol=1e-12)


def test_products_about_the_center_are_exact_beside_a_giant() -> None:
    honest = np.random.default_rng(0).normal(size=(6, 3))
    gram = central_gram(np.concatenate([honest, np.full((1, 3), 1e30)]))
    alone = central_gram(honest)
    assert gram.near.all()
    center = int(np.flatnonzero(np.diag(gram.products) == 0.0)[0])
    expected = (honest - honest[center]) @ (honest - honest[center]).T
    np.testing.assert_allclose(gram.products[:6, :6], expected, atol=1e-14)
    assert (gram.rounding[:6] < 1e-13).all()
    assert alone.near.all()
