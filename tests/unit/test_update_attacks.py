"""Every attack on updates against its slow twin, and what holds for all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quickthorn.simulations.attacks.alie import supporters_z
from quickthorn.simulations.attacks.attack import Attack, build_attack
from quickthorn.simulations.attacks.oracle import Oracle, UnansweredError, damage_along, worst_tau
from quickthorn.simulations.attacks.registry import available_attacks, find_attack
from quickthorn.simulations.attacks.spec import UpdateView
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.updates import ModelLayout, UpdateMatrix
from tests.naive import attacks as naive

NAMES = available_attacks()["update"]
# One text per way to attack, and whether the row is a function of the view alone.
TEXTS = [
    *NAMES,
    "fang_krum(knowledge=partial)",
    "fang_trimmed_mean(knowledge=partial)",
    "free_rider(send=nothing)",
    "min_max(deviation=unit)",
    "min_max(deviation=sign)",
    "min_sum(deviation=unit)",
    "min_sum(deviation=sign)",
    "mimic(warmup=3)",
    "constrain_and_scale(bound=own)",
    "sybil(noise=orthogonal)",
    "sybil(noise=0.5)",
]
FINITE = [text for text in TEXTS if text != "not_finite"]
SHAPES = [(1, 1, 1), (1, 3, 1), (1, 2, 2), (2, 4, 3), (3, 1, 4), (2, 5, 40), (4, 9, 7)]

Rows = NDArray[np.float32]


def average(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values.mean(axis=0))


def cohort(k: int, h: int, d: int, seed: int = 0, shift: float = 0.3) -> tuple[Rows, Rows, Rows]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(shift, 1.0, size=(k + h + 1, d)).astype(np.float32)
    return rows[:k], rows[k:-1], rows[-1]


def view_of(k: int, h: int, d: int, **others: Any) -> UpdateView:  # noqa: ANN401 - fields
    own, honest, previous = cohort(k, h, d)
    settings: dict[str, Any] = {"previous": previous, "byzantine": k, "defense": average}
    return UpdateView(own=own, honest=honest, **(settings | others))


def forge(text: str | Attack, view: UpdateView, seed: int = 0) -> Rows:
    attack = build_attack(text) if isinstance(text, str) else text
    return attack.forge(view, rng=np.random.default_rng(seed)).rows


# --- what holds for all ---


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("text", FINITE)
def test_rows_are_finite_new_and_the_same_each_time(text: str, shape: tuple[int, int, int]) -> None:
    view = view_of(*shape)
    arrays = (view.own, view.honest, view.previous, view.model)
    before = [array.copy() for array in arrays]
    rows = forge(text, view)
    assert rows.dtype == np.float32
    assert rows.shape == view.own.shape
    assert np.isfinite(rows).all()
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)
        assert not np.shares_memory(rows, array)
    np.testing.assert_array_equal(forge(text, view), rows)


@pytest.mark.parametrize("text", TEXTS)
def test_a_model_of_float64_gets_rows_of_float64(text: str) -> None:
    view = view_of(2, 5, 40)
    for name in ("own", "honest", "previous"):
        view = dataclasses.replace(view, **{name: getattr(view, name).astype(np.float64)})
    rows = forge(text, view)
    assert rows.dtype == np.float64
    assert np.isfinite(rows).all() == (text in FINITE)


@pytest.mark.parametrize("text", FINITE)
@pytest.mark.parametrize("value", [0.0, -2.5, 1e-30, 1e30])
def test_equal_updates_are_no_special_case(text: str, value: float) -> None:
    rows = np.full((7, 3), value, np.float32)
    view = UpdateView(own=rows[:2], honest=rows[2:], defense=average, byzantine=2)
    assert np.isfinite(forge(text, view)).all()


@pytest.mark.parametrize("text", ["min_max", "min_sum", "alie", "mimic", "optimal_alie"])
def test_where_nothing_varies_there_is_no_room_to_hide(text: str) -> None:
    rows = np.full((7, 3), -2.5, np.float32)
    view = UpdateView(own=rows[:2], honest=rows[2:], defense=average)
    np.testing.assert_array_equal(forge(text, view), rows[:2])


# These have a unit of their own, or draw.
WITH_UNITS = {"gaussian", "not_finite"}


@pytest.mark.parametrize("text", [text for text in FINITE if text not in WITH_UNITS])
def test_rows_scale_with_the_updates(text: str) -> None:
    """There is no absolute threshold: deltas may be of any size."""
    own, honest, previous = cohort(2, 6, 11)
    for factor in (2.0**-40, 2.0**40):
        rows = [
            forge(
                text,
                UpdateView(
                    own=own * np.float32(c),
                    honest=honest * np.float32(c),
                    previous=previous * np.float32(c),
                    byzantine=2,
                    defense=average,
                ),
            )
            for c in (1.0, factor)
        ]
        np.testing.assert_allclose(rows[1], rows[0] * factor, rtol=1e-5, atol=1e-6 * factor)


@pytest.mark.parametrize("name", [name for name in NAMES if not find_attack(name).supplied])
def test_the_order_of_the_honest_rows_does_not_matter(name: str) -> None:
    own, honest, _ = cohort(2, 6, 11)
    view = UpdateView(own=own, honest=honest, byzantine=2, defense=average)
    turned = UpdateView(own=own, honest=honest[::-1].copy(), byzantine=2, defense=average)
    np.testing.assert_allclose(forge(name, turned), forge(name, view), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if find_attack(name).knows == "own data"])
def test_who_knows_only_its_own_data_is_not_moved_by_honest_updates(name: str) -> None:
    own, honest, previous = cohort(2, 6, 11)
    views = [
        UpdateView(own=own, honest=rows, previous=previous, defense=average)
        for rows in (honest, -3 * honest)
    ]
    np.testing.assert_array_equal(forge(name, views[0]), forge(name, views[1]))


@pytest.mark.parametrize("text", ["fang_krum", "fang_trimmed_mean"])
def test_partial_knowledge_is_of_the_own_updates_alone(text: str) -> None:
    own, honest, _ = cohort(4, 6, 11)
    views = [UpdateView(own=own, honest=rows, byzantine=4) for rows in (honest, -3 * honest)]
    partial = f"{text}(knowledge=partial)"
    np.testing.assert_array_equal(forge(partial, views[0]), forge(partial, views[1]))
    assert not np.array_equal(forge(text, views[0]), forge(text, views[1]))


@pytest.mark.parametrize(
    "text",
    [
        "constrain_and_scale(alpha=0)",
        "constrain_and_scale(alpha=1.1)",
        "constrain_and_scale(alpha=nan)",
        "constrain_and_scale(bound=0)",
        "constrain_and_scale(rate=0)",
        "fang_trimmed_mean(stretch=1)",
        "free_rider(noise=-1)",
        "gaussian(deviation=0)",
        "ipm(epsilon=0)",
        "mimic(warmup=0)",
        "model_replacement(rate=0)",
        "norm_projected_backdoor(radius=-1)",
        "optimal_alie(evaluations=0)",
        "optimal_ipm(step=0)",
        "sybil(noise=-1)",
    ],
)
def test_parameters_out_of_range_are_refused_when_they_are_read(text: str) -> None:
    name, _, rest = text.partition("(")
    with pytest.raises(ConfigurationError, match=rf"{rest.partition('=')[0]}.*; got|{name} needs"):
        build_attack(text)


# --- against the twins ---

COHORTS = [(1, 4, 3, 0), (2, 7, 5, 1), (3, 9, 12, 2), (1, 2, 1, 3)]
by_cohort = pytest.mark.parametrize("case", COHORTS, ids=str)


def pair(case: tuple[int, int, int, int]) -> tuple[UpdateView, list[list[float]]]:
    k, h, d, seed = case
    own, honest, _ = cohort(k, h, d, seed)
    return UpdateView(own=own, honest=honest, byzantine=k), honest.astype(np.float64).tolist()


@by_cohort
def test_alie_is_its_twin(case: tuple[int, int, int, int]) -> None:
    view, honest = pair(case)
    for text, z in (("alie", None), ("alie(z=1.5)", 1.5)):
        expected = naive.alie(honest, case[0], z)
        np.testing.assert_allclose(forge(text, view), [expected] * case[0], rtol=1e-5, atol=1e-6)


@by_cohort
def test_ipm_is_its_twin(case: tuple[int, int, int, int]) -> None:
    view, honest = pair(case)
    expected = naive.ipm(honest, 0.7)
    np.testing.assert_allclose(forge("ipm(epsilon=0.7)", view), [expected] * case[0], rtol=1e-5)


@by_cohort
@pytest.mark.parametrize("deviation", ["std", "unit", "sign"])
@pytest.mark.parametrize("name", ["min_max", "min_sum"])
def test_min_max_and_min_sum_are_the_bisection_over_whole_rows(
    case: tuple[int, int, int, int], deviation: str, name: str
) -> None:
    view, honest = pair(case)
    expected = getattr(naive, name)(honest, deviation)
    found = forge(f"{name}(deviation={deviation})", view)
    np.testing.assert_allclose(found, [expected] * case[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_mimic_copies_whom_its_twin_copies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    history = rng.normal(0.2, 1.0, (4, 5, 6)).astype(np.float32)
    expected = naive.mimic(history.astype(np.float64).tolist())
    attack, state = build_attack("mimic(warmup=4)"), None
    for honest, scores in zip(history, expected, strict=True):
        view = UpdateView(own=honest[:2], honest=honest, state=state)
        forged = attack.forge(view, rng=rng)
        assert forged.state is not None
        sums = [abs(forged.state["sums"][client]) for client in view.clients]
        np.testing.assert_allclose(sums, scores, rtol=1e-6)
        client = int(np.argmax(scores))
        np.testing.assert_array_equal(forged.rows, honest[[client, client]])
        state = forged.state


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shift", [0.0, 0.15])
@pytest.mark.parametrize("byzantine", [0, 3, 4])
def test_fang_krum_goes_as_far_as_the_naive_krum_lets_it(
    seed: int, shift: float, byzantine: int
) -> None:
    """Three attack, whatever the server's Krum assumes."""
    own, honest, _ = cohort(3, 9, 6, seed, shift)
    view = UpdateView(own=own, honest=honest, byzantine=byzantine)
    row, chosen = naive.fang_krum(honest.astype(np.float64).tolist(), 3, byzantine)
    np.testing.assert_allclose(forge("fang_krum", view), [row] * 3, rtol=1e-5, atol=1e-9)
    rows = np.concatenate([honest, forge("fang_krum", view)])
    influence = build("krum", byzantine=byzantine).aggregate(rows).influence
    assert influence is not None
    assert (influence[9:].sum() == 1.0) == chosen


def test_fang_krum_does_not_count_on_ties_which_go_to_the_honest() -> None:
    """The bound is 8; at 4, 2 and 1 the row ties with an honest one, and is never alone ahead."""
    honest = np.array([[-3.0], [-2.0], [7.0]], np.float32)
    rows = forge("fang_krum", UpdateView(own=honest[:1], honest=honest, byzantine=1))
    assert -1e-4 < rows[0, 0] < 0.0


def test_fang_krum_with_partial_knowledge_adds_rows_until_krum_picks_one() -> None:
    own, honest, _ = cohort(6, 8, 6, seed=1, shift=0.6)
    benign = own.astype(np.float64).tolist()
    row, chosen, count = [0.0], False, 0
    while not chosen:
        count += 1
        row, chosen = naive.fang_krum(benign, count, count)
    assert count > 1
    view = UpdateView(own=own, honest=honest, byzantine=6)
    found = forge("fang_krum(knowledge=partial)", view)
    np.testing.assert_allclose(found, [row] * 6, rtol=1e-5)


@by_cohort
def test_fang_on_the_trimmed_mean_stays_in_the_interval_of_its_twin(
    case: tuple[int, int, int, int],
) -> None:
    view, honest = pair(case)
    rows = forge("fang_trimmed_mean(stretch=3)", view)
    low, high = np.array(naive.fang_trimmed_mean(honest, 3.0)).T
    slack = 1e-6 * np.abs(high)
    assert (rows >= low - slack).all()
    assert (rows <= high + slack).all()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_fang_on_the_trimmed_mean_with_partial_knowledge_leaves_the_spread(k: int) -> None:
    own, honest, _ = cohort(k, 6, 30)
    rows = forge("fang_trimmed_mean(knowledge=partial)", UpdateView(own=own, honest=honest)).astype(
        np.float64
    )
    mean = own.mean(axis=0, dtype=np.float64)
    std = own.std(axis=0, ddof=1, dtype=np.float64) if k > 1 else np.zeros(30)
    moved = (rows - mean) * np.where(mean > 0, -1, 1)
    assert (moved >= 3 * std - 1e-5).all()
    assert (moved <= 4 * std + 1e-5).all()


# --- the search for the worst answer ---

TURNING = ["krum", "multi_krum", "nnm | krum", "geometric_median", "mda", "smea", "caf", "mean"]
CLIPPING = ["centered_clipping(radius=2.0)", "clip(radius=median) | mean", "arc | krum"]


@pytest.mark.parametrize("text", [*TURNING, *CLIPPING, "bucketing | krum", "median", "dnc"])
@pytest.mark.parametrize("seed", range(2))
def test_the_answers_in_the_span_are_those_to_whole_rows(text: str, seed: int) -> None:
    own, honest, direction = cohort(2, 9, 60, seed)
    defense = build(text, byzantine=2 if "bucketing" not in text else 1)
    oracle = Oracle(defense)
    view = UpdateView(own=own, honest=honest, defense=oracle)
    ask = damage_along(view, direction.astype(np.float64))
    rows = honest.astype(np.float64).tolist()
    for tau in (0.0, 0.1, 0.7, 3.0, 40.0):
        expected = naive.damage(oracle, rows, 2, direction.tolist(), tau)
        assert ask(tau) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_question_in_the_span_has_a_column_per_update_and_not_per_weight() -> None:
    own, honest, direction = cohort(2, 9, 5000)
    seen: list[tuple[int, ...]] = []

    class Spy(Oracle):
        def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
            seen.append(values.shape)
            return super().__call__(values)

    for text, columns in (("krum", 10), ("median", 5000)):
        seen.clear()
        view = UpdateView(own=own, honest=honest, defense=Spy(build(text, byzantine=2)))
        damage_along(view, direction.astype(np.float64))(1.0)
        assert seen == [(11, columns)]


def test_claims_are_no_update_even_for_as_many_clients_as_weights() -> None:
    own, honest, direction = cohort(6, 14, 20)
    oracle = Oracle(build("weighted_mean", byzantine=6), {"weights": np.arange(1.0, 21.0)})
    view = UpdateView(own=own, honest=honest, defense=oracle)
    rows, line = honest.astype(np.float64).tolist(), direction.astype(np.float64)
    expected = naive.damage(oracle, rows, 6, direction.tolist(), 2.0)
    assert damage_along(view, line)(2.0) == pytest.approx(expected, rel=1e-5)


def test_the_memory_of_the_defense_is_seen_in_the_span() -> None:
    own, honest, direction = cohort(2, 9, 60)
    defense = build("centered_clipping(radius=2.0)", byzantine=2)
    state = {"0:centered_clipping": {"center": np.full(60, 9.0)}}
    oracle = Oracle(defense, {"state": state})
    rows = honest.astype(np.float64).tolist()
    line = direction.astype(np.float64)
    fresh, known = (
        damage_along(UpdateView(own=own, honest=honest, defense=one), line)(2.0)
        for one in (Oracle(defense), oracle)
    )
    assert known == pytest.approx(naive.damage(oracle, rows, 2, direction.tolist(), 2.0), rel=1e-5)
    assert abs(known - fresh) > 1.0


def test_a_defense_that_remembers_clients_is_asked_about_them_by_id() -> None:
    own, honest, direction = cohort(2, 5, 60)
    own[1] = own[0]  # whoever sent them has a history to answer for
    clients = tuple("abcdefg")
    defense = build("foolsgold", byzantine=2)
    earlier = UpdateMatrix(np.concatenate([own, honest]), clients)
    state = defense.aggregate(earlier).state
    oracle = Oracle(defense, {"state": state}, clients)
    rows = np.concatenate([honest, own])
    expected = defense.aggregate(UpdateMatrix(rows, clients), state=state).vector
    np.testing.assert_array_equal(oracle(rows), expected)
    view = UpdateView(own=own, honest=honest, defense=oracle)
    line = direction.astype(np.float64)
    whole = naive.damage(oracle, honest.astype(np.float64).tolist(), 2, line.tolist(), 2.0)
    assert damage_along(view, line)(2.0) == pytest.approx(whole, rel=1e-5)


def test_all_that_the_defense_is_given_is_given_in_the_span() -> None:
    own, honest, direction = cohort(2, 9, 60)
    line = direction.astype(np.float64)
    layout = ModelLayout.of({"w": np.zeros(60, np.float32)})
    clients = tuple(f"client-{i:02}" for i in range(11))
    defense = build("arc | fltrust", byzantine=2)
    given = {"trusted": honest[0] * 3, "layout": layout, "state": {"old": honest[:2] + 9}}
    oracle = Oracle(defense, given, clients)
    view = UpdateView(own=own, honest=honest, defense=oracle)
    rows = honest.astype(np.float64).tolist()
    for tau in (0.0, 1.0, 9.0):
        expected = naive.damage(oracle, rows, 2, line.tolist(), tau)
        assert damage_along(view, line)(tau) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["optimal_alie", "optimal_ipm"])
@pytest.mark.parametrize("text", [*TURNING, "median", "nnm | trimmed_mean"])
def test_the_optimal_row_is_that_of_questions_with_whole_rows(name: str, text: str) -> None:
    own, honest, _ = cohort(2, 9, 60)
    oracle = Oracle(build(text, byzantine=2))
    found = forge(name, UpdateView(own=own, honest=honest, defense=oracle))
    rows = honest.astype(np.float64).tolist()
    mean = naive.mean_row(rows)
    direction = naive.std_row(rows) if name == "optimal_alie" else naive.ipm(rows, 1.0)

    def damage(tau: float) -> float:
        return naive.damage(oracle, rows, 2, direction, tau)

    expected = naive.step(mean, worst_tau(damage, evaluations=20, step=10.0), direction)
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "other"), [("optimal_alie", "alie"), ("optimal_ipm", "ipm")])
@pytest.mark.parametrize("text", ["krum", "nnm | krum", "geometric_median", "median"])
def test_the_optimal_row_does_more_damage_than_the_fixed_one(
    name: str, other: str, text: str
) -> None:
    own, honest, _ = cohort(4, 15, 40)
    oracle = Oracle(build(text, byzantine=4))
    view = UpdateView(own=own, honest=honest, defense=oracle)

    def harm(rows: Rows) -> float:
        answer = oracle(np.concatenate([honest, rows]))
        return float(np.linalg.norm(answer - honest.mean(axis=0)))

    assert harm(forge(name, view)) >= harm(forge(other, view))


def test_the_search_asks_as_often_as_it_says_and_finds_a_peak() -> None:
    asked: list[float] = []

    def hill(tau: float) -> float:
        asked.append(tau)
        return -abs(tau - 37.0)

    best = worst_tau(hill, evaluations=20, step=10.0)
    assert len(asked) == 20
    assert asked[:4] == [0.0, 10.0, 30.0, 70.0]
    assert min(asked) >= 0.0
    assert best == max(asked, key=lambda tau: -abs(tau - 37.0))
    assert abs(best - 37.0) < 3.0
    assert worst_tau(lambda tau: tau if tau < 50 else float("nan"), evaluations=9, step=10.0) < 50
    assert worst_tau(lambda tau: -tau, evaluations=9, step=10.0) == 0.0


def test_a_question_without_an_answer_says_why() -> None:
    rows = np.ones((2, 3), np.float32)
    with pytest.raises(UnansweredError, match="no answer for the attack: krum needs n >= 5"):
        Oracle(build("krum", byzantine=1))(rows)


def test_what_the_dtype_cannot_hold_is_not_asked() -> None:
    honest = np.full((3, 2), 1e33, np.float32)
    oracle = Oracle(build("mean", byzantine=0))
    view = UpdateView(own=honest[:1], honest=honest, defense=oracle)
    rows = forge("optimal_ipm", view)
    assert np.isfinite(rows).all()
    assert rows.max() < -1e37


@pytest.mark.parametrize("text", ["mean", "median"])  # in the span, and by whole rows
@pytest.mark.parametrize("name", ["optimal_alie", "optimal_ipm"])
def test_no_row_is_longer_than_the_server_admits(name: str, text: str) -> None:
    own, honest, _ = cohort(2, 9, 60)
    oracle = Oracle(build(text, byzantine=2 if text == "median" else 0))
    free, bound = (
        np.linalg.norm(forge(name, UpdateView(own=own, honest=honest, defense=oracle, longest=c)))
        for c in (np.inf, 50.0)
    )
    assert bound <= 50.0 * np.sqrt(2) * (1 + 1e-6)
    assert text == "median" or free > 1e4 > bound > 10.0


# --- boosts, bounds and copies ---


def test_model_replacement_replaces_the_mean() -> None:
    own, _, _ = cohort(2, 0, 5)
    view = UpdateView(own=own, honest=own[:0], cohort=10)
    rows = forge("model_replacement(rate=0.5)", view)
    np.testing.assert_allclose(0.5 * rows.sum(axis=0) / 10, own.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("bound", "expected"), [("honest", 6.0), ("own", 3.0), ("4.5", 4.5)])
def test_a_bounded_boost_reaches_its_bound_and_never_the_replacement(
    bound: str, expected: float
) -> None:
    own = np.array([[3.0, 0.0], [0.0, 0.01], [0.0, 0.0]], np.float32)
    honest = np.array([[0.0, 6.0], [1.0, 0.0]], np.float32)
    view = UpdateView(own=own, honest=honest, cohort=30)
    rows = forge(f"constrain_and_scale(bound={bound})", view)
    np.testing.assert_allclose(rows, [[expected, 0.0], [0.0, 0.1], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("h", [5, 6])
def test_a_projected_backdoor_passes_a_clip_at_the_median_norm(h: int) -> None:
    own, honest, _ = cohort(2, h, 30)
    rows = forge("norm_projected_backdoor", UpdateView(own=own * 50, honest=honest))
    everyone = np.concatenate([honest, rows])
    clipped = (
        build("clip(radius=median) | mean", byzantine=2)
        .steps[0]
        .spec.apply(everyone)
        .values[:, 0:30]
    )
    np.testing.assert_allclose(clipped[h:], rows, rtol=1e-5)
    cosines = (rows * own).sum(axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(own, axis=1)
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-5)


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_what_is_not_finite_is_the_kind_that_was_asked_for(kind: str) -> None:
    rows = forge(f"not_finite(kind={kind})", view_of(2, 3, 4))
    np.testing.assert_array_equal(rows, np.full((2, 4), float(kind), np.float32))


def test_free_riders_send_the_last_step_each_with_noise_of_its_own() -> None:
    own, honest, _ = cohort(2, 3, 20_000)
    previous = np.full(20_000, 0.5, np.float32)
    view = UpdateView(own=own, honest=honest, previous=previous)
    rows = forge("free_rider(noise=0.2)", view) - previous
    np.testing.assert_allclose(rows.std(axis=1), 0.1, rtol=0.05)
    assert abs((rows[0] * rows[1]).mean()) < 1e-3
    assert not forge("free_rider(send=nothing, noise=0)", view).any()
    first = UpdateView(own=own, honest=honest)
    assert not forge("free_rider", first).any()


@pytest.mark.parametrize(("noise", "expected"), [("0", 1.0), ("1.0", 1 / 3), ("orthogonal", 0.0)])
def test_sybils_have_the_cosine_that_their_noise_says(noise: str, expected: float) -> None:
    own, honest, _ = cohort(4, 3, 50)
    rows = forge(f"sybil(noise={noise})", UpdateView(own=own, honest=honest)).astype(np.float64)
    np.testing.assert_allclose(rows.mean(axis=0), own.mean(axis=0), atol=1e-6)
    lengths = np.linalg.norm(rows, axis=1)
    cosines = (rows @ rows.T / lengths / lengths[:, None])[np.triu_indices(4, 1)]
    np.testing.assert_allclose(cosines, expected, atol=1e-5)


def test_sybils_keep_their_directions_while_the_poison_turns() -> None:
    attack, rng = build_attack("sybil(noise=orthogonal)"), np.random.default_rng(1)
    state: Any = None
    before: Any = None
    for number in range(200):
        own = np.tile(rng.standard_normal(20), (3, 1)).astype(np.float32)
        view = UpdateView(own=own, honest=own[:0], state=state)
        forged = attack.forge(view, rng=np.random.default_rng(0))
        apart = forged.rows - own
        if number:
            assert (np.sum(apart * before, axis=1) > 0).all()
        state, before = forged.state, apart


def test_supporters_are_counted_over_the_whole_cohort() -> None:
    with pytest.raises(ConfigurationError, match="no z for 6 hostile of 10 clients: it needs 0"):
        supporters_z(10, 6)
    view = view_of(3, 2, 4)
    with pytest.raises(ConfigurationError, match="Give it, as in alie"):
        forge("alie", view)
    assert np.isfinite(forge("alie(z=2)", view)).all()
