"""MoNNA: the bound that it shares with the server's own update, searched for a breach."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import build
from tests.laws.adversary import attacks, honest_cohorts


@pytest.mark.parametrize(("n", "byzantine"), [(3, 1), (7, 2), (9, 4)])
@pytest.mark.parametrize("off", [0.0, 1.0, 30.0])
def test_no_attack_breaks_the_bound(n: int, byzantine: int, off: float) -> None:
    """‖A − m‖² ≤ 4f/(n − f) · (V + ‖g − m‖²), wherever g lies."""
    defense, rng = build("monna", byzantine=byzantine), np.random.default_rng(n)
    worst = 0.0
    for honest in honest_cohorts(n, byzantine, n):
        mean = honest.mean(axis=0)
        trusted = mean + off * rng.normal(size=mean.shape)
        spread = ((honest - mean) ** 2).sum(axis=1).mean() + ((trusted - mean) ** 2).sum()
        beside = np.tile(trusted, (byzantine, 1))
        for liars in (*attacks(honest, byzantine, n), beside):
            values = np.concatenate([liars, honest])
            vector = defense.aggregate(values, trusted=trusted).vector
            worst = max(worst, float(((vector - mean) ** 2).sum()) / spread)
    assert 0 < worst <= 4 * byzantine / (n - byzantine)
