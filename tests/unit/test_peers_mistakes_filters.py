"""What other libraries get wrong in rules that filter, weigh or count signs."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError


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
