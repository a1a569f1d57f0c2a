"""DnC: its parameters against the twin, the draw of coordinates, who is left."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import build
from quickthorn.strategies.aggregators.dnc import dnc
from quickthorn.strategies.errors import ConfigurationError, TooFewClientsError
from quickthorn.strategies.kernels.spectral import outlier_scores
from tests.naive import TWINS
from tests.naive.history import projections

VALUES = np.random.default_rng(5).normal(size=(12, 30)) + np.linspace(0, 1, 12)[:, None] ** 3


@pytest.mark.parametrize("dimensions", [5, 29, 30, 10_000])
@pytest.mark.parametrize(("iterations", "multiple"), [(1, 1.0), (3, 1.0), (5, 1.5), (5, 3.0)])
def test_parameters_mean_what_the_twin_says(
    iterations: int, multiple: float, dimensions: int
) -> None:
    given = {"iterations": iterations, "multiple": multiple, "dimensions": dimensions}
    found = dnc(VALUES, byzantine=2, rng=np.random.default_rng(9), **given)  # type: ignore[arg-type]  # int and float
    expected = TWINS["dnc"](VALUES.tolist(), byzantine=2, rng=np.random.default_rng(9), **given)
    np.testing.assert_allclose(found.vector, expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_the_scores_are_the_squared_projections(size: float) -> None:
    np.testing.assert_allclose(
        outlier_scores(VALUES * size, np.arange(VALUES.shape[1])),
        projections(VALUES.tolist()),
        rtol=1e-9,
    )
    assert outlier_scores(np.zeros((3, 2)), np.arange(2)).tolist() == [0.0] * 3


def test_without_liars_everybody_is_averaged() -> None:
    influence = build("dnc(iterations=5, dimensions=3)", byzantine=0).aggregate(VALUES).influence
    assert influence is not None
    np.testing.assert_allclose(influence, 1 / 12)


def test_any_multiple_that_leaves_somebody_is_taken() -> None:
    defense = build("dnc(multiple=3)", byzantine=2)
    assert defense.min_clients == 7
    influence = defense.aggregate(VALUES).influence
    assert influence is not None
    assert np.count_nonzero(influence) == 12 - 3 * 2
    with pytest.raises(TooFewClientsError, match="dnc needs n >= 13 clients"):
        build("dnc(multiple=6)", byzantine=2).aggregate(VALUES)


def test_ties_drop_the_larger_client_id() -> None:
    influence = build("dnc", byzantine=2).aggregate(np.zeros((6, 2))).influence
    assert influence is not None
    assert influence.tolist() == [0.25] * 4 + [0.0] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iterations=0", "iterations of dnc must be at least 1; got 0"),
        ("dimensions=0", "dimensions of dnc must be at least 1; got 0"),
        ("multiple=0", "must be above 0 and drop at least 1 and fewer than n=5 clients; got 0.0"),
        ("multiple=0.2", "got 0.2, which drops 0 for byzantine=2"),
    ],
)
def test_a_parameter_out_of_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(f"dnc({text})", byzantine=2).aggregate(VALUES)
