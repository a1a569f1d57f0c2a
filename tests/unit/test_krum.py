"""Krum over n − f − 1 others: its smallest cohort, its default selection, its κ; fourth powers."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.krum import krum
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError
from tests.laws.adversary import worst_ratio
from tests.naive.aggregators import krum as twin

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


@pytest.mark.parametrize("size", [1e-150, 1e-100, 1.0, 1e100, 1e150])
def test_fourth_powers_choose_as_their_twin_at_any_size(size: float) -> None:
    defense = build("krum(power=4)", byzantine=2)
    for seed in range(20):
        rows = np.random.default_rng(seed).normal(size=(9, 3))
        rows[0] *= 50  # whom all would choose if every score were the same
        rows *= size
        chosen = twin(rows.tolist(), byzantine=2, power=4)
        assert defense.aggregate(rows).vector.tolist() == chosen
        assert defense.aggregate(torch.from_numpy(rows)).vector.tolist() == chosen


def test_what_is_no_power_of_a_score_is_refused() -> None:
    assert str(build("krum(power=4.0)", byzantine=1)) == "krum(power=4)"
    with pytest.raises(ConfigurationError, match="must be 2 or 4; got 3"):
        build("krum(power=3)", byzantine=1)
    with pytest.raises(ConfigurationError, match="select from 1 to n - f = 0"):
        krum(np.ones((1, 2)), byzantine=1)
