"""FLAME: its majority against HDBSCAN, its noise against what is written about it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.flame import flame, majority
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels import blocks
from tests.naive.angles import flame as twin
from tests.naive.angles import majority as slow_majority


@pytest.mark.parametrize("kind", ["points", "ties", "lattice"])
@pytest.mark.parametrize("n", [2, 3, 4, 7, 12, 25])
def test_the_majority_is_what_hdbscan_finds(n: int, kind: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(n, 1 + seed % 4)) * 3
        if kind == "lattice":
            points = np.round(points)
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        if kind == "ties":
            distances = np.round(distances)
        labels = HDBSCAN(
            min_cluster_size=n // 2 + 1,
            min_samples=1,
            metric="precomputed",
            allow_single_cluster=True,
            copy=True,
        ).fit_predict(distances)
        found = majority(distances)
        assert found.tolist() == (labels == 0).tolist()
        assert np.flatnonzero(found).tolist() == slow_majority(distances.tolist())


def test_one_update_is_a_majority() -> None:
    assert majority(np.zeros((1, 1))).tolist() == [True]


def test_the_noise_is_the_generators() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 30))
    first, again, other = (
        flame(rows, rng=np.random.default_rng(seed), noise=0.1).vector for seed in (1, 1, 2)
    )
    expected = twin(rows.tolist(), rng=np.random.default_rng(1), noise=0.1)
    np.testing.assert_allclose(first, expected, rtol=1e-12)
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_the_block_size_changes_no_bit_of_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 1000)).astype(np.float32)
    whole = build("flame", byzantine=1).aggregate(rows).vector
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 7)
    assert build("flame", byzantine=1).aggregate(rows).vector.tolist() == whole.tolist()


def test_without_noise_nothing_is_drawn() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    flame(np.eye(3), rng=rng, noise=0.0)
    assert rng.bit_generator.state == before


def test_a_majority_of_zeros_is_zero() -> None:
    rows = np.zeros((5, 2))
    rows[3:] = 4.0
    assert build("flame", byzantine=2).aggregate(rows).vector.tolist() == [0.0, 0.0]


def test_negative_noise_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"noise of flame must be at least 0 .* got -1.0"):
        build("flame(noise=-1)", byzantine=0)
