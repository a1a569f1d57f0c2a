"""The signals against direct forms of what they measure, and on the liars they are for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.strategies.facts import Facts
from quickthorn.strategies.held import HeldOut
from quickthorn.strategies.kernels.rows import mix
from quickthorn.strategies.registry import SCORERS
from quickthorn.strategies.scorers.influence import influence
from quickthorn.strategies.scorers.layers import layers
from quickthorn.strategies.scorers.signs import signs
from quickthorn.strategies.scorers.similarity import similarity
from quickthorn.strategies.scorers.spectral import spectral
from quickthorn.strategies.scoring import (
    STANDS_OUT,
    Signal,
    explain,
    robust_z,
    score_updates,
)
from quickthorn.strategies.updates import ModelLayout, UpdateMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw(n: int, d: int, *, spread: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    """Return n honest updates about a common direction."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + spread * rng.normal(size=(n, d))


def matrix(rows: NDArray[np.float64]) -> UpdateMatrix:
    return UpdateMatrix(rows, tuple(f"c{number:02}" for number in range(len(rows))))


def far(rows: NDArray[np.float64], signal: str) -> set[str]:
    return set(explain(score_updates(matrix(rows), byzantine=4, scorers=[signal])[0]))


def test_the_spectral_signal_is_that_of_the_singular_value_decomposition() -> None:
    rows = draw(12, 40)
    rows[:3] -= 3.0  # one direction has by far the largest variance
    rows[3] *= 1e3
    lengths = np.array([math.hypot(*row) for row in rows])
    cut = rows / np.maximum(lengths, np.median(lengths))[:, None]
    left, sizes, _ = np.linalg.svd(cut - cut.mean(axis=0), full_matrices=False)
    assert sizes[1] ** 2 < 0.75 * sizes[0] ** 2
    places = left[:, 0] * sizes[0]

    expected = np.abs(places - np.median(places))

    assert spectral(Facts(rows)).values == pytest.approx(expected, abs=1e-9)


def test_liars_who_push_one_way_stand_out_spectrally_also_behind_a_loud_one() -> None:
    rows = draw(20, 300)
    rows[:4] -= 1.0
    rows[4] = 1e6 * rows[0]

    assert far(rows, "spectral") == {"c00", "c01", "c02", "c03", "c04"}


def test_where_no_direction_is_singled_out_all_are_alike() -> None:
    assert spectral(Facts(np.eye(6))).values == pytest.approx(np.full(6, math.sqrt(5 / 6)))
    assert far(np.eye(6), "spectral") == set()


def test_similarity_is_the_largest_cosine_to_another() -> None:
    rows = draw(7, 30)

    def angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(sum(a * b)) / math.hypot(*a) / math.hypot(*b)

    expected = [max(angle(a, b) for j, b in enumerate(rows) if j != i) for i, a in enumerate(rows)]

    assert similarity(Facts(rows)).values == pytest.approx(expected)


@pytest.mark.parametrize("factor", [1.0, 0.3, 1e200])
def test_a_copy_at_any_length_and_who_was_copied_stand_out(factor: float) -> None:
    rows = draw(12, 200)
    rows[11] = factor * rows[2]

    assert far(rows, "similarity") == {"c02", "c11"}
    assert similarity(Facts(rows)).values[[2, 11]] == pytest.approx([1.0, 1.0])


def test_updates_that_are_all_alike_are_no_sybils() -> None:
    assert far(draw(12, 200, spread=1e-3), "similarity") == set()
    assert far(np.ones((5, 3)), "similarity") == set()


def test_signs_are_counted_and_compared_with_the_usual_shares() -> None:
    rows = np.sign(draw(9, 500))
    rows[4] = np.abs(rows[4])
    shares = [[sum(x == s for x in row) / 500 for s in (1, 0, -1)] for row in rows]
    usual = [sorted(column)[4] for column in zip(*shares, strict=True)]
    expected = [sum(abs(a - b) for a, b in zip(row, usual, strict=True)) / 2 for row in shares]

    assert signs(Facts(rows)).values == pytest.approx(expected)
    assert far(rows, "signs") == {"c04"}


def test_one_sign_among_few_is_no_evidence() -> None:
    assert far(np.array([[1.0], [1.0], [1.0], [1.0], [-1.0]]), "signs") == set()


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("apply", [signs, similarity, spectral])
def test_the_unit_of_the_updates_does_not_matter(apply: object, size: float) -> None:
    rows = draw(8, 20)

    assert callable(apply)
    found, expected = apply(Facts(rows * size)), apply(Facts(rows))

    assert robust_z(found) == pytest.approx(robust_z(expected), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("apply", [signs, similarity, spectral])
def test_rows_that_exist_only_block_by_block_have_the_same_signals(apply: object) -> None:
    rows = draw(6, 50)
    weights = np.eye(6) * 0.5 + 0.5 / 6

    assert callable(apply)
    found, expected = apply(Facts(mix(weights, rows))), apply(Facts(weights @ rows))

    assert found.values == pytest.approx(expected.values, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_one_column_of_huge_rows_has_finite_scores(n: int) -> None:
    rows = np.where(np.arange(n)[:, None] % 2, -1e30, 1e30).astype(np.float32)

    matrix = UpdateMatrix(rows, tuple("abcdef"[:n]))
    shares = dict.fromkeys(matrix.clients, 1.0)
    held = HeldOut(1.0, np.full(n, np.inf), np.zeros((n, 2)))
    state, rounds = None, []
    for number in range(3):
        scores, state = score_updates(
            matrix,
            byzantine=0,
            scorers=SCORERS,
            influence=shares,
            held=held,
            state=state,
            known=Facts(rows, model(1), np.full(1, number * 1e30)),
        )
        rounds.append(scores)

    for scores in rounds:
        assert all(math.isfinite(score.z) and math.isfinite(score.value) for score in scores)
    assert {score.signal for score in rounds[2]} == {
        s for s in SCORERS if n >= 3 or s in {"cosine", "held_loss", "norm"}
    }


def model(*sizes: int) -> ModelLayout:
    return ModelLayout.of({f"fc{k}.weight": np.zeros(size) for k, size in enumerate(sizes)})


def test_the_worst_layer_is_the_one_with_the_largest_robust_z_of_its_distances() -> None:
    rows = draw(9, 60)
    rows[5, 20:23] += 4.0
    center = np.array([sorted(column)[4] for column in rows.T])
    ratios, z = [], []
    for start, stop in ((0, 20), (20, 23), (23, 60)):
        away = [math.dist(row[start:stop], center[start:stop]) for row in rows]
        ratios.append([distance / sorted(away)[4] for distance in away])
        logs = [math.log(ratio) for ratio in ratios[-1]]
        middle = sorted(logs)[4]
        spread = 1.4826 * 1.32 * sorted(abs(log - middle) for log in logs)[4]
        z.append([(log - middle) / max(spread, 0.2) for log in logs])
    worst = [max(range(3), key=lambda k: z[k][i]) for i in range(9)]

    found = layers(Facts(rows, model(20, 3, 37)))

    assert found.where == [f"fc{k}.weight" for k in worst]
    assert found.position == pytest.approx([z[k][i] for i, k in enumerate(worst)])
    assert found.values == pytest.approx([ratios[k][i] for i, k in enumerate(worst)])


def test_the_sentence_names_the_layer_and_by_how_much() -> None:
    rows = draw(12, 500)
    rows[7, 480:490] *= 8.0  # hardly longer as a whole

    scores, _ = score_updates(
        matrix(rows),
        byzantine=2,
        scorers=["layers", "norm", "krum_distance"],
        known=Facts(rows, model(300, 180, 10, 10)),
    )

    reasons = explain(scores)
    assert list(reasons) == ["c07"]
    assert reasons["c07"].startswith("update is largest in layer fc2.weight, ")
    assert ";" not in reasons["c07"], "no other signal sees it"


def test_many_layers_make_nobody_suspicious() -> None:
    layout = model(*[5] * 200)
    for seed in range(5):
        rows = draw(20, 1000, seed=seed)
        scores, _ = score_updates(
            matrix(rows), byzantine=2, scorers=["layers"], known=Facts(rows, layout)
        )
        assert len(scores) == 20
        assert explain(scores) == {}


def test_without_a_layout_there_are_no_layers() -> None:
    assert score_updates(matrix(draw(6, 9)), byzantine=1, scorers=["layers"]) == ((), None)


def shares(*given: float) -> Signal:
    clients = "abcdef"[: len(given)]
    known = {c: share for c, share in zip(clients, given, strict=True) if share >= 0}
    return influence(Facts(np.ones((len(given), 1))), clients=clients, influence=known)


def test_influence_is_the_shortfall_below_the_median_share() -> None:
    assert shares(1.5, 1.5, 1.5, 0.0, 0.75).position == pytest.approx([0, 0, 0, 1, 0.5])
    assert robust_z(shares(1.25, 1.25, 1.25, 1.25, 0.0)).max() < STANDS_OUT
    assert robust_z(shares(0.5, 0.5, 0.5, 0.5, 8.0)).min() > -STANDS_OUT


def test_where_half_have_no_share_it_says_nothing_and_of_those_without_a_vote_neither() -> None:
    for given in ((5.0, 0.0, 0.0, 0.0, 0.0), (2.0, 2.0, 0.0, 0.0)):
        known = shares(*given).known
        assert known is not None
        assert not known.any()
    known = shares(1.0, -1.0, 1.0, 1.0).known
    assert known is not None
    assert known.tolist() == [True, False, True, True]
