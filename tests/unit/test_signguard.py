"""SignGuard: its clusters against scikit-learn's, its filters, its draw and its parameters."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import MeanShift

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.signguard import largest_cluster
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels.meanshift import mean_shift
from quickthorn.strategies.kernels.signs import sign_shares
from tests.naive.signs import clusters, largest, shifted
from tests.naive.signs import sign_shares as slow_shares


@pytest.mark.parametrize("width", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_clusters_are_those_of_scikit_learn(n: int, width: float) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(n, 3)) * 0.2 + rng.integers(0, 2, (n, 1))
        expected = MeanShift(bandwidth=width, cluster_all=False).fit(points).labels_
        assert mean_shift(points, width).tolist() == expected.tolist()
        assert shifted(points.tolist(), width) == expected.tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 11, 30])
def test_the_largest_cluster_is_the_twins(n: int) -> None:
    for seed in range(5):
        shares = np.random.default_rng(seed).dirichlet([2.0, 0.1, 2.0], n)
        expected = largest(clusters(shares.tolist()))
        assert np.flatnonzero(largest_cluster(shares)).tolist() == expected


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("columns", [1, 7, 33_000, 70_000])
def test_shares_of_signs_are_the_twins_and_sum_to_1(columns: int, share: float) -> None:
    rows = np.random.default_rng(0).integers(-1, 2, (2, columns)).astype(np.float32)
    found = sign_shares(rows, share, np.random.default_rng(5))
    expected = slow_shares(rows.tolist(), share, np.random.default_rng(5))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_a_small_shift_of_many_coordinates_shows_in_the_signs() -> None:
    """A little is enough: mean − z · deviation, within the spread and of usual length."""
    rng = np.random.default_rng(0)
    honest = 0.05 + rng.normal(size=(16, 5000)) * 0.1
    liar = honest.mean(axis=0) - 0.6 * honest.std(axis=0)
    rows = np.concatenate([honest, np.tile(liar, (4, 1))])
    influence = build("signguard", byzantine=4).aggregate(rows).influence
    assert influence is not None
    assert influence[16:].tolist() == [0.0] * 4
    assert np.count_nonzero(influence[:16]) >= 12


def test_length_is_judged_by_both_bounds_and_cut_to_the_median() -> None:
    rows = np.array([[1.0], [1.0], [2.0], [0.05], [9.0]])
    outcome = build("signguard", byzantine=2).aggregate(rows)
    assert outcome.influence == pytest.approx([1 / 3] * 3 + [0.0, 0.0])
    assert outcome.vector == pytest.approx(1.0)
    wide = build("signguard(lower=0, upper=100)", byzantine=2).aggregate(rows)
    assert wide.influence == pytest.approx([0.2] * 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lower=-0.1", "lower from 0 to 1 and upper of at least 1, .* got -0.1 and 3.0"),
        ("lower=1.1", "got 1.1 and 3.0"),
        ("upper=0.9", "got 0.1 and 0.9"),
        ("share=0", "share of signguard must be above 0 and at most 1; got 0"),
        ("share=1.5", "got 1.5"),
    ],
)
def test_a_parameter_out_of_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(f"signguard({text})", byzantine=0)
