"""‖A − mean(S)‖² ≤ κ(n, f) · (1/|S|) Σ_{i∈S} ‖x_i − mean(S)‖², with f arbitrary rows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.strategies import find
from tests.laws.adversary import worst_ratio
from tests.laws.subjects import SUBJECTS, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Aggregate
    from tests.laws.adversary import Rule

RESILIENT = [subject for subject in SUBJECTS if "resilient" in subject.traits]
OPTIMAL = find("aggregator", "trimmed_mean").kappa

# Proven constants are exact up to the rounding of the two sides.
ROUNDING = 1 + 1e-9


def as_rule(subject: Subject) -> Rule:
    defense = cache(subject.defense)

    def rule(values: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
        weights = np.ones(len(values))
        result: NDArray[np.float64] = defense(byzantine).aggregate(values, weights=weights).vector
        return result

    return rule


@pytest.mark.parametrize(
    ("extra", "byzantine"), [(0, 0), (3, 0), (0, 1), (3, 1), (0, 2), (4, 2), (1, 3)]
)
@pytest.mark.parametrize("subject", RESILIENT, ids=str)
def test_no_attack_exceeds_kappa(subject: Subject, extra: int, byzantine: int) -> None:
    assert subject.kappa is not None, f"{subject} claims to be resilient without a κ"
    n = subject.min_clients(byzantine) + extra
    reached = worst_ratio(as_rule(subject), n, byzantine, seed=n)
    assert reached <= subject.kappa(n, byzantine) * ROUNDING


@pytest.mark.parametrize("subject", RESILIENT, ids=str)
def test_kappa_is_not_below_what_any_rule_can_have(subject: Subject) -> None:
    """κ ≥ f / (n − 2f), docs/explanation/laws.md: a smaller claim is false before any test."""
    assert subject.kappa is not None
    if "rowwise" in subject.traits:
        pytest.fail("a rowwise step has no κ of its own")
    for byzantine in range(8):
        for n in range(subject.min_clients(byzantine), subject.min_clients(byzantine) + 20):
            bound = byzantine / (n - 2 * byzantine)
            assert subject.kappa(n, byzantine) >= bound / ROUNDING


@pytest.mark.parametrize("byzantine", [1, 2, 3])
@pytest.mark.parametrize("name", ["mean", "weighted_mean"])
def test_the_control_the_mean_fails_it(name: str, byzantine: int) -> None:
    """The law has teeth: averaging exceeds even a constant a thousand times too large."""
    subject = next(subject for subject in SUBJECTS if str(subject) == name)
    n = 2 * byzantine + 3
    reached = worst_ratio(as_rule(subject), n, byzantine, seed=n, climb=0)
    assert OPTIMAL is not None
    assert reached > 1000 * OPTIMAL(n, byzantine)


@pytest.mark.parametrize(("n", "byzantine"), [(3, 1), (5, 1), (7, 2), (9, 3)])
@pytest.mark.parametrize("name", ["trimmed_mean", "median"])
def test_the_search_reaches_the_constant(name: str, n: int, byzantine: int) -> None:
    """κ of the trimmed mean cannot be lowered, so a search that stays below it is too weak."""
    subject = next(subject for subject in SUBJECTS if str(subject) == name)
    assert OPTIMAL is not None
    assert worst_ratio(as_rule(subject), n, byzantine) >= OPTIMAL(n, byzantine) / ROUNDING


def _trim_one_too_few(values: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
    return _vector("trimmed_mean")(values, byzantine=byzantine - 1).vector


def _krum_farthest(values: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
    distances = ((values[:, None] - values) ** 2).sum(axis=2).sum(axis=1)
    result: NDArray[np.float64] = values[np.argmax(distances)]
    return result


def _sum_of_selected(values: NDArray[np.float64], byzantine: int) -> NDArray[np.float64]:
    vector = _vector("multi_krum")(values, byzantine=byzantine).vector
    return vector * (len(values) - byzantine - 2)


def _vector(name: str) -> Callable[..., Aggregate]:
    apply: Callable[..., Aggregate] = find("aggregator", name).apply
    return apply


@pytest.mark.parametrize(
    ("wrong", "kappa_of"),
    [
        (_trim_one_too_few, "trimmed_mean"),
        (_krum_farthest, "krum"),
        (_sum_of_selected, "multi_krum"),
    ],
)
def test_a_wrong_rule_is_caught(wrong: Rule, kappa_of: str) -> None:
    kappa = find("aggregator", kappa_of).kappa
    assert kappa is not None
    assert worst_ratio(wrong, 9, 2) > kappa(9, 2) * ROUNDING


@pytest.mark.parametrize("base", [1.0, 1e-20, 1e200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("subject", RESILIENT, ids=str)
def test_one_row_however_large_moves_little(
    subject: Subject, dtype: type[np.floating], base: float
) -> None:
    """10^k for k up to 30, and the largest number there is: the same bound, no NaN, no warning."""
    if base > float(np.finfo(dtype).max):
        base = 1e5
    n = subject.min_clients(1) + 2
    honest = (np.random.default_rng(1).normal(size=(n - 1, 5)) * base).astype(dtype)
    unit = honest.astype(np.float64) / base
    variance = float(((unit - unit.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert subject.kappa is not None
    for size in (*(10.0**k for k in range(31)), np.inf):
        largest = float(np.finfo(dtype).max)
        liar = np.full((1, 5), min(base * size, largest), dtype) * np.array(
            [1, -1, 1, 1, -1], dtype
        )
        for values in (np.concatenate([honest, liar]), np.concatenate([liar, honest])):
            vector = subject.defense(1).aggregate(values).vector.astype(np.float64) / base
            error = float(((vector - unit.mean(axis=0)) ** 2).sum())
            assert error <= subject.kappa(n, 1) * variance * (1 + 1e-5)


@pytest.mark.parametrize("name", ["mean", "weighted_mean"])
def test_one_large_row_owns_the_mean(name: str) -> None:
    rows = np.concatenate([np.ones((6, 2)), np.full((1, 2), 1e30)])
    subject = next(subject for subject in SUBJECTS if str(subject) == name)
    vector = subject.defense(1).aggregate(rows, weights=np.ones(7)).vector
    assert (vector > 1e29).all()
