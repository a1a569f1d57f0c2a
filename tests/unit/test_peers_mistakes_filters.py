"""What other libraries get wrong in rules that filter, weigh or count signs."""

from __future__ import annotations

import numpy as np

from quickthorn.strategies import build


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
