"""What other libraries get wrong in the attacks that we have, one test per mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quickthorn.simulations.attacks.alie import supporters_z
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.registry import available_attacks, find_attack
from quickthorn.simulations.attacks.spec import UpdateView
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from tests.attack_forms import FORMS

NAMES = available_attacks()["update"]
Rows = NDArray[np.float32]


def cohort(k: int = 3, h: int = 8, d: int = 12, seed: int = 0) -> tuple[Rows, Rows]:
    rows = np.random.default_rng(seed).normal(0.2, 1.0, (k + h, d)).astype(np.float32)
    return rows[:k], rows[k:]


def forge(text: str, seed: int = 0, **fields: Any) -> Rows:  # noqa: ANN401 - of a view
    settings: dict[str, Any] = {"byzantine": 2, "defense": lambda values: values.mean(axis=0)}
    view = UpdateView(**(settings | fields))
    return build_attack(text).forge(view, rng=np.random.default_rng(seed)).rows


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_on_the_delta_and_not_on_the_weights(name: str) -> None:
    own, honest = cohort()
    rows = [
        forge(name, own=own, honest=honest, model=np.full(12, weight, np.float32))
        for weight in (0.0, 1e6)
    ]
    np.testing.assert_array_equal(rows[0], rows[1])


@pytest.mark.parametrize("name", ["sign_flip", "scaling", "model_replacement"])
def test_hostile_members_have_data_of_their_own_and_do_not_send_one_row_k_times(name: str) -> None:
    own, honest = cohort()
    rows = forge(name, own=own, honest=honest)
    assert len(np.unique(rows, axis=0)) == len(own)
    np.testing.assert_allclose(rows / own, (rows / own)[0, 0], rtol=1e-5)


def test_an_attack_after_one_on_the_data_is_no_silent_return_of_the_honest_mean() -> None:
    """The poisoned updates arrive in ``own``; what is sent is made of them."""
    own, honest = cohort()
    for name in ("none", "scaling", "model_replacement", "constrain_and_scale", "sybil"):
        rows = forge(name, own=own, honest=honest)
        assert np.linalg.matrix_rank(np.vstack([own, rows])) == len(own)


@pytest.mark.parametrize(
    ("clients", "hostile", "z"), [(25, 5, 0.253), (50, 24, 1.426), (51, 12, 0.36), (14, 4, 0.253)]
)
def test_alie_counts_its_supporters_among_the_honest(clients: int, hostile: int, z: float) -> None:
    assert supporters_z(clients, hostile) == pytest.approx(z, abs=2e-3)


def test_alie_lets_a_small_f_lean_to_the_other_side_and_a_majority_choose() -> None:
    assert supporters_z(10, 1) == pytest.approx(-0.14, abs=1e-3)
    assert 0.0 < supporters_z(9, 4) < np.inf
    for hostile in (5, 8):
        with pytest.raises(ConfigurationError, match="Give it, as in alie"):
            supporters_z(9, hostile)


def test_alie_adds_z_sample_deviations_on_deltas() -> None:
    honest = np.array([[0.0], [2.0]], np.float32)
    rows = forge("alie(z=1)", own=honest[:1], honest=honest)
    np.testing.assert_allclose(rows, [[1.0 + np.sqrt(2.0)]], rtol=1e-6)


def distances(row: Rows, honest: Rows) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.linalg.norm(honest.astype(np.float64) - row, axis=1)
    return result


@pytest.mark.parametrize("deviation", ["std", "unit", "sign"])
@pytest.mark.parametrize("name", ["min_max", "min_sum"])
@pytest.mark.parametrize("seed", range(4))
def test_min_max_and_min_sum_return_the_last_feasible_gamma(
    name: str, deviation: str, seed: int
) -> None:
    """Min-Max compares distances, Min-Sum sums of squares; a little farther is too far."""
    own, honest = cohort(seed=seed)
    row = forge(f"{name}(deviation={deviation})", own=own, honest=honest)[0]
    mean = honest.mean(axis=0, dtype=np.float64)
    power = 1 if name == "min_max" else 2
    pairs = np.array([distances(x, honest) ** power for x in honest])
    limit = pairs.max() if name == "min_max" else pairs.sum(axis=1).max()

    def reach(row: NDArray[Any]) -> float:
        apart = distances(row, honest) ** power
        return float(apart.max() if name == "min_max" else apart.sum())

    assert reach(row) <= limit * (1 + 1e-6)
    assert reach(mean + (row - mean) * (1 + 1e-4)) > limit


def test_the_three_deviations_are_three_directions() -> None:
    own, honest = cohort()
    mean = honest.mean(axis=0)
    moved = {
        deviation: forge(f"min_max(deviation={deviation})", own=own, honest=honest)[0] - mean
        for deviation in ("std", "unit", "sign")
    }
    expected = {"std": -honest.std(axis=0, ddof=1), "unit": -mean, "sign": -np.sign(mean)}
    for deviation, direction in expected.items():
        cosine = moved[deviation] @ direction / np.linalg.norm(moved[deviation])
        assert cosine / np.linalg.norm(direction) == pytest.approx(1.0, abs=1e-5)


# Those that draw meet other numbers when the columns move.
@pytest.mark.parametrize("name", [name for name in NAMES if not find_attack(name).supplied])
def test_no_attack_treats_the_first_half_of_the_coordinates_otherwise(name: str) -> None:
    own, honest = cohort()
    order = np.random.default_rng(1).permutation(12)
    straight = forge(name, own=own, honest=honest)
    moved = forge(name, own=own[:, order], honest=honest[:, order])
    np.testing.assert_allclose(moved, straight[:, order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("knowledge", ["full", "partial"])
def test_fang_on_the_trimmed_mean_attacks_coordinates_of_either_direction(knowledge: str) -> None:
    own = np.array([[1.0, -1.0], [3.0, -3.0], [2.0, -2.0]], np.float32)
    rows = forge(f"fang_trimmed_mean(knowledge={knowledge})", own=own, honest=own)
    assert (rows[:, 0] < 1.0).all()
    assert (rows[:, 1] > -1.0).all()
    assert (rows != 0.0).all()


def test_fang_on_krum_starts_at_the_bound_of_the_paper_and_not_at_1() -> None:
    honest = np.array([[-300.0], [-250.0], [100.0], [500.0], [600.0]], np.float32)
    (row, _) = forge("fang_krum", own=honest[:2], honest=honest)
    # n = 7, k = 2: n − 2k − 1 = 2, and sums over the 3 nearest others.
    sums = [sum(sorted(abs(honest - x).ravel())[1:4]) for x in honest.ravel()]
    bound = min(sums) / 2 + 600
    assert -row[0] in {bound / 2**halvings for halvings in range(17)}
    assert -row[0] > 1.0


@pytest.mark.parametrize("text", FORMS)
def test_no_attack_takes_what_the_defense_assumes_for_the_number_of_its_members(text: str) -> None:
    own, honest = cohort()
    rows = [forge(text, own=own, honest=honest, byzantine=f) for f in (0, 2, 3, 5)]
    foresees = build_attack(text) in map(build_attack, ("fang_krum", "fang_krum(knowledge=full)"))
    for others in rows[1:]:
        assert foresees or np.array_equal(others, rows[0], equal_nan=True)
    assert len(np.unique([row[0] for row in rows], axis=0)) > 1 or not foresees


def test_mimic_copies_the_honest_client_that_differs_most_and_not_itself_or_the_first() -> None:
    rng = np.random.default_rng(3)
    honest = rng.normal(0.0, 0.1, (6, 20)).astype(np.float32)
    honest[4] += 3.0
    own = np.full((2, 20), 9.0, np.float32)
    np.testing.assert_array_equal(forge("mimic", own=own, honest=honest), honest[[4, 4]])


def test_mimic_stays_with_its_target_by_id_and_leaves_warm_up_behind() -> None:
    own, honest = cohort(k=1)
    attack, rng = build_attack("mimic"), np.random.default_rng(0)
    clients = tuple("abcdefgh")
    honest[5] *= 20.0
    first = attack.forge(UpdateView(own=own, honest=honest, clients=clients), rng=rng)
    np.testing.assert_array_equal(first.rows[0], honest[5])
    honest[2] *= 50.0
    later = UpdateView(own=own, honest=honest, clients=clients, state=first.state)
    forged = attack.forge(later, rng=rng)
    np.testing.assert_array_equal(forged.rows[0], honest[5])
    assert forged.state is first.state
    order = [7, 5, 2]
    some = UpdateView(
        own=own,
        honest=honest[order],
        clients=tuple(clients[i] for i in order),
        state=first.state,
    )
    np.testing.assert_array_equal(attack.forge(some, rng=rng).rows[0], honest[5])


def test_the_constraint_of_a_bounded_boost_is_not_inert() -> None:
    own, honest = cohort()
    norms = [
        np.linalg.norm(forge(f"constrain_and_scale(bound={bound})", own=own, honest=honest), axis=1)
        for bound in (0.5, 2.0)
    ]
    np.testing.assert_allclose(norms[0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(norms[1], 2.0, rtol=1e-6)


def test_a_parameter_with_a_stray_character_is_refused_and_not_ignored() -> None:
    with pytest.raises(ConfigurationError, match="is not key=value"):
        build_attack('constrain_and_scale(bound"=1)')
    with pytest.raises(UnknownNameError, match="did you mean 'bound'"):
        build_attack("constrain_and_scale(bounds=1)")


def test_sybils_with_noise_stay_apart_in_a_history_of_updates() -> None:
    """FoolsGold adds updates up over rounds: noise drawn anew in each would average out."""
    attack, rng = build_attack("sybil(noise=orthogonal)"), np.random.default_rng(0)
    history, state = np.zeros((4, 60)), None
    poison = rng.normal(size=60)
    for _ in range(50):
        own = (poison + rng.normal(0.0, 0.1, (4, 60))).astype(np.float32)
        forged = attack.forge(UpdateView(own=own, honest=own[:0], state=state), rng=rng)
        history, state = history + forged.rows, forged.state
    lengths = np.linalg.norm(history, axis=1)
    cosines = (history @ history.T / lengths / lengths[:, None])[np.triu_indices(4, 1)]
    assert np.abs(cosines).max() < 0.05
