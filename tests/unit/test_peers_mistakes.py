"""What other libraries get wrong in the rules that we have, one test per mistake."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.krum import krum_scores
from quickthorn.strategies.errors import TooFewClientsError
from quickthorn.strategies.kernels.pairwise import squared_distances


def column(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(values, np.float64)[:, None]


def test_krum_sums_n_f_2_neighbors_and_not_one_more_or_less() -> None:
    rows = column(0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0)  # n = 7, f = 2: three neighbors
    assert krum_scores(rows, 2)[0] == 1.0 + 9.0 + 49.0
    assert krum_scores(rows, 1)[0] == 1.0 + 9.0 + 49.0 + 225.0


def test_krum_adds_squares_and_not_distances_or_fourth_powers() -> None:
    points = (0.0, 1.0, 2.0, 7.0, 9.0, 12.0, 13.0)  # f = 1: four neighbors

    def chosen_by(power: int) -> int:
        sums = [
            sum(sorted(abs(a - b) ** power for j, b in enumerate(points) if j != i)[:4])
            for i, a in enumerate(points)
        ]
        return sums.index(min(sums))

    assert (chosen_by(1), chosen_by(2), chosen_by(4)) == (2, 4, 3)
    assert build("krum", byzantine=1).aggregate(column(*points)).vector == points[4]


def test_krum_leaves_itself_out_although_it_has_duplicates() -> None:
    """Dropping the first column of the sorted distances drops a duplicate instead of itself."""
    rows = column(5.0, 5.0, 5.0, 0.0, 9.0)
    assert krum_scores(rows, 1).tolist() == [0.0, 0.0, 0.0, 25.0 + 25.0, 16.0 + 16.0]
    two = column(5.0, 5.0, 0.0, 20.0, 40.0)
    assert krum_scores(two, 1)[:2].tolist() == [25.0, 25.0]  # one duplicate at 0, then 25


def test_nnm_counts_itself_although_it_has_duplicates() -> None:
    mixed = build("nnm | mean", byzantine=3).aggregate(column(1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 9.0))
    assert mixed.influence is not None
    # Rows 0 to 3 mix rows 0 to 3; row 4 mixes itself and 0 to 2; rows 5 and 6 both and 0 and 1.
    expected = np.array([7.0, 7.0, 5.0, 4.0, 1.0, 2.0, 2.0]) / 28
    np.testing.assert_allclose(mixed.influence, expected)


def test_multi_krum_averages_and_does_not_add_up() -> None:
    rows = np.full((6, 2), 3.0)
    assert build("multi_krum(select=3)", byzantine=1).aggregate(rows).vector.tolist() == [3.0, 3.0]


def test_multi_krum_selects_by_f_and_not_by_a_fixed_share() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    for byzantine in (1, 4, 8):
        influence = build("multi_krum", byzantine=byzantine).aggregate(rows).influence
        assert influence is not None
        assert np.count_nonzero(influence) == 20 - byzantine - 2


def test_the_median_of_an_even_number_averages_the_middles() -> None:
    assert build("median", byzantine=1).aggregate(column(4.0, 1.0, 2.0, 100.0)).vector == 3.0


@pytest.mark.parametrize("n", [1, 4, 9, 25])
def test_the_trimmed_mean_with_f_0_is_the_mean_and_not_empty(n: int) -> None:
    rows = column(*range(1, n + 1))
    assert build("trimmed_mean", byzantine=0).aggregate(rows).vector == (n + 1) / 2


def test_the_trimmed_mean_sorts_coordinates_and_not_clients() -> None:
    rows = np.array([[0.0, 9.0], [1.0, 0.0], [9.0, 1.0]])
    assert build("trimmed_mean", byzantine=1).aggregate(rows).vector.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("rule", ["trimmed_mean", "median", "krum", "nnm | mean", "clip | mean"])
def test_a_wrong_f_is_refused_and_never_lowered(rule: str) -> None:
    with pytest.raises(TooFewClientsError, match="byzantine=3; got n=6"):
        build(rule, byzantine=3).aggregate(np.ones((6, 1)))


def test_clipping_leaves_the_callers_rows_alone() -> None:
    rows = np.full((3, 2), 8.0)
    build("clip(radius=1) | mean", byzantine=0).aggregate(rows)
    assert (rows == 8.0).all()


def test_distances_of_float32_updates_are_summed_in_float64() -> None:
    rows = np.full((2, 1000), 1e3, np.float32)
    rows[1, 0] += np.float32(0.5)
    assert squared_distances(rows)[0, 1] == 0.25


def test_the_robust_rules_ignore_claimed_sample_counts() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 3))
    for rule in ("median", "trimmed_mean", "krum", "multi_krum", "nnm | mean", "mean"):
        defense = build(rule, byzantine=2)
        plain = defense.aggregate(rows).vector
        claimed = defense.aggregate(rows, weights=np.array([1e12, *[1.0] * 8])).vector
        assert plain.tolist() == claimed.tolist()
