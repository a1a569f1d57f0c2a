"""What other libraries get wrong in rules that filter, weigh or count signs."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import UpdateMatrix, build
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError
from quickthorn.strategies.kernels.signs import sign_shares


def test_fltrust_brings_updates_to_the_servers_length_and_not_the_other_way_round() -> None:
    rows = np.array([[6.0, 8.0], [0.3, 0.4]])
    outcome = build("fltrust", byzantine=0).aggregate(rows, trusted=np.array([1.5, 2.0]))
    np.testing.assert_allclose(outcome.vector, [1.5, 2.0])


def test_fltrust_drops_who_points_away_and_does_not_turn_them_round() -> None:
    rows = np.array([[1.0, 0.0], [-1.0, 0.1], [0.0, 1.0]])
    outcome = build("fltrust", byzantine=1).aggregate(rows, trusted=np.array([2.0, 0.0]))
    assert outcome.influence is not None
    assert outcome.influence.tolist() == [1.0, 0.0, 0.0]


def test_fltrust_with_nobody_to_trust_stays_where_it_is_and_does_not_divide_by_zero() -> None:
    rows = np.array([[-1.0, 0.0], [-1.0, 0.1]])
    outcome = build("fltrust", byzantine=1).aggregate(rows, trusted=np.array([2.0, 0.0]))
    assert outcome.vector.tolist() == [0.0, 0.0]
    assert outcome.influence is not None
    assert outcome.influence.tolist() == [0.0, 0.0]


def test_monna_trusts_what_it_is_given_and_not_the_first_client() -> None:
    rows = np.array([[-50.0], [1.0], [2.0], [3.0]])
    vector = build("monna", byzantine=1).aggregate(rows, trusted=np.array([2.5])).vector
    assert vector == pytest.approx(2.0)


def test_rlr_turns_back_by_the_signs_of_updates_and_not_of_models() -> None:
    """A model near 5 has the same sign everywhere; its updates do not."""
    model = np.full(2, 5.0)
    trained = model + np.array([[0.1, 0.2], [0.1, -0.3], [0.1, 0.4]])
    vector = build("rlr(threshold=2)", byzantine=1).aggregate(trained - model).vector
    np.testing.assert_allclose(vector, [0.1, -0.1])
    assert (build("rlr(threshold=2)", byzantine=1).aggregate(trained).vector > 5).all()


def test_rlr_leaves_the_callers_rows_alone() -> None:
    """One library adds the others up into the first client's own arrays."""
    rows = np.array([[1.0], [2.0], [-9.0]])
    before = rows.copy()
    build("rlr", byzantine=1).aggregate(rows)
    assert (rows == before).all()


@pytest.mark.parametrize(("votes", "sign"), [(4, 1.0), (3, 1.0), (2, -1.0), (1, -1.0), (0, -1.0)])
def test_rlr_goes_on_at_the_threshold_and_back_below_it(votes: int, sign: float) -> None:
    column = np.zeros((6, 1))
    column[:votes] = 3.0
    vector = build("rlr", byzantine=2).aggregate(column).vector  # f = 2: three votes
    assert vector == sign * column.mean()


def test_rlr_counts_the_votes_that_are_left_over_and_not_one_side() -> None:
    """Three against two is a majority of one."""
    column = np.array([[1.0], [1.0], [1.0], [-1.0], [-1.0]])
    assert build("rlr(threshold=1)", byzantine=0).aggregate(column).vector == 0.2
    assert build("rlr(threshold=2)", byzantine=0).aggregate(column).vector == -0.2


def test_rlr_refuses_a_threshold_that_liars_reach_or_honest_clients_cannot() -> None:
    with pytest.raises(ConfigurationError, match="from f \\+ 1 = 3 to n - f = 3 clients; got 2"):
        build("rlr(threshold=2)", byzantine=2)
    with pytest.raises(TooFewClientsError, match="rlr needs n >= 6"):
        build("rlr(threshold=4)", byzantine=2).aggregate(np.ones((5, 1)))


def test_foolsgold_looks_at_the_whole_history_and_not_at_one_round() -> None:
    """Sybils that add opposite noise to their goal in each round share a sum."""
    honest, goal, noise = np.eye(5)[:2], np.eye(5)[2], 3.0 * np.eye(5)[3]
    defense, state, shares = build("foolsgold", byzantine=2), None, []
    for sign in (1.0, -1.0):
        sybils = [goal + sign * noise, goal - sign * noise]
        outcome = defense.aggregate(np.array([*honest, *sybils]), state=state)
        assert outcome.influence is not None
        shares.append(outcome.influence.tolist())
        state = outcome.state
    assert shares == [[0.25] * 4, [0.5, 0.5, 0.0, 0.0]]


def test_foolsgold_gives_a_history_to_its_client_and_not_to_a_row() -> None:
    """b alone is missing in the second round, so that c stands in its row."""
    rows = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0]), "c": np.array([-1.0, 0.2])}
    defense = build("foolsgold", byzantine=0)
    state = defense.aggregate(UpdateMatrix.of(rows)).state
    moved = {"a": np.array([1.0, 0.0]), "c": np.array([0.0, 0.5])}
    state = defense.aggregate(UpdateMatrix.of(moved), state=state).state
    assert state is not None
    kept = state["0:foolsgold"]
    found = dict(zip(kept["clients"].tolist(), kept["history"].tolist(), strict=True))
    assert found == {"a": [2.0, 0.0], "c": [-1.0, 0.7], "b": [0.0, 1.0]}


def test_foolsgold_keeps_one_sum_for_each_client_and_not_a_list_that_grows() -> None:
    defense, state = build("foolsgold", byzantine=1), None
    for _ in range(5):
        state = defense.aggregate(np.eye(3), state=state).state
    assert state is not None
    assert state["0:foolsgold"]["history"].tolist() == (5 * np.eye(3)).tolist()


def test_foolsgold_averages_and_does_not_add_up() -> None:
    vector = build("foolsgold", byzantine=0).aggregate(np.eye(4)).vector
    assert vector.tolist() == [0.25] * 4


@pytest.mark.parametrize("n", [1, 2, 3])
def test_foolsgold_of_equal_updates_is_no_division_by_zero(n: int) -> None:
    rows = np.full((n, 2), 3.0)
    outcome = build("foolsgold", byzantine=0).aggregate(rows)
    assert outcome.influence is not None
    assert outcome.influence == pytest.approx([1 / n] * n)
    assert outcome.vector.tolist() == [3.0, 3.0]


def test_foolsgold_with_a_client_that_resembles_nobody_does_not_turn_its_sign() -> None:
    """v_i / v_j of a negative v_i makes a similarity out of a contrast."""
    rows = np.array([[1.0, 0.0], [1.0, 0.01], [-1.0, 0.3]])
    influence = build("foolsgold", byzantine=0).aggregate(rows).influence
    assert influence is not None
    assert influence.tolist() == [0.0, 0.0, 1.0]


def test_flame_adds_the_same_noise_everywhere_and_not_by_the_spread_of_a_layer() -> None:
    """σ = λ S: the noise of a coordinate that hardly moves is that of one that moves much."""
    rows = np.random.default_rng(0).normal(size=(5, 40_000))
    rows[:, :20_000] *= 1e-6
    still = build("flame(noise=0)", byzantine=1).aggregate(rows).vector
    noise = build("flame(noise=0.01)", byzantine=1).aggregate(rows).vector - still
    expected = 0.01 * np.median(np.linalg.norm(rows, axis=1))
    assert noise[:20_000].std() == pytest.approx(expected, rel=0.03)
    assert noise[20_000:].std() == pytest.approx(expected, rel=0.03)


def test_flame_clips_to_the_median_norm_of_all_and_not_of_those_it_kept() -> None:
    rows = np.array([[4.0, 0.0], [5.0, 0.0], [6.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    vector = build("flame(noise=0)", byzantine=2).aggregate(rows).vector
    assert vector == pytest.approx([4.0, 0.0])  # of all: 4; of those kept: 5


def test_flame_of_updates_that_all_differ_is_no_mean_of_nobody() -> None:
    """Without a single cluster allowed, everybody is noise and the mean is NaN."""
    vector = build("flame(noise=0)", byzantine=2).aggregate(np.eye(7)).vector
    np.testing.assert_allclose(vector, 1 / 7)


def test_flame_compares_whole_updates_and_not_their_last_columns() -> None:
    rows = np.full((5, 6), 1.0)
    rows[4, :4] = -9.0
    influence = build("flame", byzantine=1).aggregate(rows).influence
    assert influence is not None
    assert influence.tolist() == [0.25] * 4 + [0.0]


def test_signguard_looks_at_random_coordinates_and_not_at_one_block() -> None:
    rows = np.ones((1, 1000))
    rows[0, 300:700] = -1.0  # in a block of 100 the share is nearly always 0 or 1
    shares = [sign_shares(rows, 0.1, np.random.default_rng(seed))[0, 2] for seed in range(30)]
    assert 0.2 < min(shares) < max(shares) < 0.6
    assert len(set(shares)) > 5


def test_signguard_with_nobody_left_averages_who_has_a_usual_length() -> None:
    """The largest cluster of signs is too long throughout; argmax of nothing is an error."""
    rows = np.array([[-1.0], [-1.0], [90.0], [90.0], [90.0], [0.0], [0.0]])
    outcome = build("signguard(upper=2)", byzantine=3).aggregate(rows)
    assert outcome.influence is not None
    assert outcome.influence.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert outcome.vector == pytest.approx(-1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9])
def test_signguard_of_equal_signs_has_a_cluster(n: int) -> None:
    """A bandwidth of 0 is an error in one library and nobody in another."""
    outcome = build("signguard", byzantine=0).aggregate(np.full((n, 3), 2.0))
    assert outcome.influence == pytest.approx([1 / n] * n)


def test_lasa_averages_the_dense_updates_and_not_the_sparsified_ones() -> None:
    """Where both lists share their memory, three numbers of ten are lost in every round."""
    rows = np.tile(np.arange(1.0, 11.0), (5, 1))
    assert build("lasa", byzantine=1).aggregate(rows).vector == pytest.approx(rows[0])


def test_lasa_judges_the_length_before_it_is_clipped() -> None:
    """Clipped to the median, the long ones are the usual ones and the short ones stand out."""
    rows = np.array([[1.0, 1.0], [1.1, 1.1], [0.9, 0.9], [1.05, 1.05], [50.0, 50.0]])
    influence = build("lasa", byzantine=1).aggregate(rows).influence
    assert influence == pytest.approx([0.25] * 4 + [0.0])
