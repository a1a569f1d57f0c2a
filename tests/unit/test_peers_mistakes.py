"""What other libraries get wrong in the rules that we have, one test per mistake."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.bulyan import bulyan_picks
from quickthorn.strategies.aggregators.krum import krum_scores
from quickthorn.strategies.errors import TooFewClientsError
from quickthorn.strategies.kernels.pairwise import squared_distances
from quickthorn.strategies.preaggregators.arc import arc
from quickthorn.strategies.preaggregators.bucketing import bucketing


def column(*values: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(values, np.float64)[:, None]


def test_krum_sums_n_f_2_neighbors_and_not_one_more_or_less() -> None:
    rows = column(0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0)  # n = 7, f = 2: three neighbors
    assert krum_scores(squared_distances(rows), 2)[0] == 1.0 + 9.0 + 49.0
    assert krum_scores(squared_distances(rows), 1)[0] == 1.0 + 9.0 + 49.0 + 225.0


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
    # What a published table was made with, to be compared with it.
    assert build("krum(power=4)", byzantine=1).aggregate(column(*points)).vector == points[3]


def test_krum_with_one_neighbor_more_has_a_name_of_its_own() -> None:
    """n − f − 2 and n − f − 1 choose differently, and neither is called the other."""
    rows = column(0.0, 3.0, 4.0, 5.25, 6.5, 20.0)  # n = 6, f = 1: three neighbors, or four
    assert krum_scores(squared_distances(rows), 1)[2] == 1.0 + 1.25**2 + 2.5**2
    assert krum_scores(squared_distances(rows), 1, "n-f-1")[2] == 1.0 + 1.25**2 + 2.5**2 + 16.0
    assert build("krum", byzantine=1).aggregate(rows).vector == 5.25
    assert build("krum(neighbors=n-f-2)", byzantine=1).aggregate(rows).vector == 5.25
    assert build("krum(neighbors=n-f-1)", byzantine=1).aggregate(rows).vector == 4.0


def test_krum_leaves_itself_out_although_it_has_duplicates() -> None:
    """Dropping the first column of the sorted distances drops a duplicate instead of itself."""
    rows = column(5.0, 5.0, 5.0, 0.0, 9.0)
    distances = squared_distances(rows)
    assert krum_scores(distances, 1).tolist() == [0.0, 0.0, 0.0, 25.0 + 25.0, 16.0 + 16.0]
    two = column(5.0, 5.0, 0.0, 20.0, 40.0)
    assert krum_scores(squared_distances(two), 1)[:2].tolist() == [
        25.0,
        25.0,
    ]  # one duplicate at 0, then 25


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


def test_bucketing_neither_duplicates_nor_loses_a_client() -> None:
    """``random.shuffle`` on a two-dimensional array swaps views: rows come twice or never."""
    for seed in range(20):
        mixed = bucketing(np.eye(10), rng=np.random.default_rng(seed), size=3)
        assert mixed.mixing is not None
        assert (np.count_nonzero(mixed.mixing, axis=0) == 1).all()
        assert np.sort(np.count_nonzero(mixed.values[:, :], axis=1)).tolist() == [1, 3, 3, 3]


def test_bucketing_draws_lots_and_does_not_group_neighbors() -> None:
    meetings = {
        bucketing(np.eye(8), rng=np.random.default_rng(seed)).values[:, :].tobytes()
        for seed in range(10)
    }
    assert len(meetings) == 10


def test_bucketing_leaves_f_and_counts_buckets_for_the_rule_behind_it() -> None:
    defense = build("bucketing | krum", byzantine=2)
    assert defense.min_clients == 13
    with pytest.raises(TooFewClientsError, match="needs n >= 13"):
        defense.aggregate(np.ones((12, 1)))


def test_arc_leaves_the_callers_rows_alone() -> None:
    rows = np.array([[1.0], [2.0], [3.0], [100.0]])
    before = rows.copy()
    assert build("arc | mean", byzantine=1).aggregate(rows).vector == (1 + 2 + 3 + 3) / 4
    assert (rows == before).all()


def test_arc_clips_as_many_as_the_formula_says_and_not_f() -> None:
    rows = np.arange(1.0, 11.0)[:, None]  # n = 10, f = 3: floor(2 · 0.3 · 7) = 4
    assert arc(rows, byzantine=3).values[:, :].ravel().tolist() == [1, 2, 3, 4, 5, 6, 6, 6, 6, 6]


def test_centered_clipping_begins_at_the_previous_aggregate_and_not_at_a_client() -> None:
    rows = column(10.0, 10.0, -1e9)
    state = {"0:centered_clipping": {"center": np.array([9.0])}}
    for order in ([0, 1, 2], [2, 0, 1]):
        defense = build("centered_clipping(radius=1)", byzantine=1)
        assert defense.aggregate(rows[order], state=state).vector == pytest.approx(9 + 1 / 3)
        assert defense.aggregate(rows[order]).vector == pytest.approx(1 / 3)


def test_a_trial_run_of_centered_clipping_does_not_advance_its_history() -> None:
    """With the history in an object, an attack that tries the rule out changes the next round."""
    defense = build("centered_clipping(radius=1)", byzantine=1)
    state = defense.aggregate(column(1.0, 2.0, 3.0)).state
    expected = defense.aggregate(column(4.0, 5.0, 6.0), state=state).vector
    defense.aggregate(column(1e9, -7.0, 0.0), state=state)
    assert defense.aggregate(column(4.0, 5.0, 6.0), state=state).vector == expected


def test_dnc_averages_all_coordinates_and_not_the_drawn_ones() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 50))
    outcome = build("dnc(dimensions=4)", byzantine=2).aggregate(rows)
    assert outcome.influence is not None
    np.testing.assert_allclose(outcome.vector, outcome.influence @ rows)
    assert np.count_nonzero(outcome.vector) == 50


def test_dnc_draws_other_coordinates_in_every_iteration() -> None:
    """Each of nine liars shows in a coordinate of its own: one draw finds one of them."""
    rows = np.random.default_rng(0).normal(size=(30, 9)) * 1e-3
    rows[np.arange(9), np.arange(9)] = 100.0
    outcome = build("dnc(dimensions=1, iterations=100)", byzantine=1).aggregate(rows)
    assert outcome.influence is not None
    assert np.flatnonzero(outcome.influence).tolist() == list(range(9, 30))


def test_dnc_has_someone_left_where_its_iterations_drop_everybody() -> None:
    rows = np.eye(5) * np.arange(1.0, 6.0)
    outcome = build("dnc(dimensions=1, iterations=100)", byzantine=1).aggregate(rows)
    assert outcome.influence is not None
    assert outcome.influence.sum() == pytest.approx(1.0)
    assert np.isfinite(outcome.vector).all()


def test_bulyan_scores_anew_after_every_pick() -> None:
    """The best θ scores of one Krum are other rows than θ Krums one after the other."""
    rows = column(-1.3, -2.3, 0.1, -0.2, 2.5, -0.6, -0.1, 1.4, 0.9, -1.7, 2.0)
    distances = squared_distances(rows)
    once = np.argsort(krum_scores(squared_distances(rows), 2), kind="stable")[:7]
    assert set(bulyan_picks(distances, 2)) != set(once)


def test_bulyan_averages_around_the_median_and_not_all_that_it_picked() -> None:
    """β = θ − 2f: neither θ, which is a plain mean of the picks, nor θ − 2f − 1."""
    rows = column(0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # n = 7, f = 1: θ = 5, β = 3
    picks = np.sort(rows[bulyan_picks(squared_distances(rows), 1), 0])
    assert picks.tolist() == [0.0, 1.0, 2.0, 4.0, 8.0]
    assert build("bulyan", byzantine=1).aggregate(rows).vector == (0.0 + 1.0 + 2.0) / 3


def test_bulyan_numbers_rows_as_they_were_before_any_was_taken_out() -> None:
    rows = np.random.default_rng(5).normal(size=(15, 2))
    for byzantine in (0, 1, 3):
        picks = bulyan_picks(squared_distances(rows), byzantine)
        assert len(set(picks.tolist())) == 15 - 2 * byzantine
        assert picks.max() < 15


def test_bulyan_refuses_fewer_than_4_f_plus_3() -> None:
    with pytest.raises(TooFewClientsError, match="bulyan needs n >= 11"):
        build("bulyan", byzantine=2).aggregate(np.ones((10, 1)))


@pytest.mark.parametrize("rule", ["smea", "caf"])
def test_eigenvectors_are_exact_and_need_no_luck(rule: str) -> None:
    """One power step from a random start finds the clear subset in one run of six."""
    rows = np.random.default_rng(0).normal(size=(9, 5))
    rows[2] += 30.0
    rows[6, 0] -= 40.0
    for seed in range(6):
        np.random.seed(seed)  # noqa: NPY002 - the global generator that it must not use
        before = str(np.random.get_state())  # noqa: NPY002 - the same
        influence = build(rule, byzantine=2).aggregate(rows).influence
        assert influence is not None
        assert np.flatnonzero(influence < 1e-9).tolist() == [2, 6]
        assert before == str(np.random.get_state())  # noqa: NPY002 - the same


def test_the_filter_measures_the_rows_that_are_left_and_stops() -> None:
    """The largest τ of a row already silenced would make every step smaller than the last."""
    rows = np.concatenate([np.random.default_rng(1).normal(size=(8, 2)), [[1e8, 0.0], [0.0, 1e4]]])
    influence = build("caf", byzantine=2).aggregate(rows).influence
    assert influence is not None
    assert influence[8:].tolist() == [0.0, 0.0]
    assert np.count_nonzero(influence[:8]) >= 6


def test_the_geometric_median_converges_and_does_not_stop_after_three_steps() -> None:
    """4 of 10 rows at 1e6: three steps from zero end 129 away."""
    rows = np.random.default_rng(0).normal(size=(10, 5))
    rows[:4] = 1e6
    vector = build("geometric_median", byzantine=4).aggregate(rows).vector
    units = (rows - vector) / np.linalg.norm(rows - vector, axis=1)[:, None]
    assert np.linalg.norm(units.sum(axis=0)) < 1e-9
    assert np.linalg.norm(vector) < 10.0


@pytest.mark.parametrize("unit", [2.0**-60, 1.0, 2.0**60])
def test_the_geometric_median_smooths_relative_to_the_data(unit: float) -> None:
    """An absolute ν = 0.1 makes small updates a plain mean."""
    rows = np.random.default_rng(0).normal(size=(9, 3))
    rows[0] = 1e4
    once = build("geometric_median", byzantine=2).aggregate(rows).vector
    scaled = build("geometric_median", byzantine=2).aggregate(rows * unit).vector
    np.testing.assert_allclose(scaled / unit, once, rtol=1e-12)


def test_the_mean_around_the_median_takes_the_middle_of_an_even_number() -> None:
    """Around the lower of the two middles (torch.median) it would average 0, 1 and 4."""
    rows = column(0.0, 1.0, 4.0, 4.5)
    assert build("mean_around_median", byzantine=1).aggregate(rows).vector == (1 + 4 + 4.5) / 3
