"""Krum over n − f − 1 others: its smallest cohort, its default selection, its κ."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError
from tests.laws.adversary import worst_ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.mark.parametrize(("n", "byzantine"), [(3, 1), (5, 1), (5, 2), (9, 3)])
@pytest.mark.parametrize("rule", ["krum", "multi_krum"])
def test_no_attack_exceeds_kappa(rule: str, n: int, byzantine: int) -> None:
    defense = build(f"{rule}(neighbors=n-f-1)", byzantine=byzantine)

    def apply(values: NDArray[np.float64], _byzantine: int) -> NDArray[np.float64]:
        return defense.aggregate(values).vector

    kappa = (n - byzantine) / (n - 2 * byzantine) * (1 + sqrt(2)) ** 2
    assert worst_ratio(apply, n, byzantine) <= kappa * (1 + 1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_it_works_from_2_f_plus_1_on(n: int) -> None:
    byzantine = (n - 1) // 2
    defense = build("multi_krum(neighbors=n-f-1)", byzantine=byzantine)
    assert defense.min_clients == 2 * byzantine + 1
    influence = defense.aggregate(np.random.default_rng(n).normal(size=(n, 2))).influence
    assert influence is not None
    assert np.count_nonzero(influence) == n - byzantine
    with pytest.raises(TooFewClientsError, match="krum needs n >= 5"):
        build("krum(neighbors=n-f-1)", byzantine=2).aggregate(np.ones((4, 2)))


def test_another_number_of_neighbors_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be 'n-f-2' or 'n-f-1'; got 'n-f'"):
        build("krum(neighbors=n-f)", byzantine=1)
