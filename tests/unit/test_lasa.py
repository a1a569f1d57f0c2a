"""LASA: layer by layer against the twin, its cut of each row, its fallback, its parameters."""

from __future__ import annotations

import numpy as np
import pytest

from quickthorn.strategies import ModelLayout, build
from quickthorn.strategies.aggregators.lasa import lasa
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.kernels import blocks
from quickthorn.strategies.kernels.sparse import kept_from
from tests.naive import TWINS

MODEL = {"w": np.zeros((4, 5)), "steps": np.array(3), "b": np.zeros(5), "none": np.zeros((0, 2))}
LAYOUT = ModelLayout.of(MODEL | {"v": np.zeros((1, 8))})


@pytest.mark.parametrize("parameters", [{}, {"sparsity": 0.0}, {"norm_radius": 1.0}])
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_layers_equal_the_twin(size: float, parameters: dict[str, float]) -> None:
    for seed in range(5):
        rows = np.random.default_rng(seed).normal(size=(9, LAYOUT.size)) * size
        rows[:2, 20:25] *= -30.0
        found = lasa(rows, layout=LAYOUT, **parameters)
        expected = TWINS["lasa"]((rows / size).tolist(), layout=LAYOUT, **parameters)
        np.testing.assert_allclose(found.vector / size, expected, rtol=1e-12)
        assert found.influence is None


def test_who_stands_out_in_one_layer_counts_in_the_others() -> None:
    rows = np.ones((5, LAYOUT.size)) + 0.01 * np.random.default_rng(0).normal(size=(5, 33))
    rows[4, 20:25] = -1.0  # of the bias alone, and no longer than the others
    vector = build("lasa", byzantine=1).aggregate(rows, layout=LAYOUT).vector
    np.testing.assert_allclose(vector, 1.0, atol=0.05)
    rows[4] = 1.0
    rows[4, 20:25] = -1.0
    whole = lasa(rows, layout=None)
    assert whole.influence is not None
    assert whole.influence[4] == 0.0  # without a layout one layer is all


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 2, 33, 5000])
def test_the_cut_is_the_kth_largest_to_the_bit(columns: int, dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(columns)
    rows = (rng.normal(size=(6, columns)) * 10.0 ** rng.integers(-40, 38, (6, columns))).astype(
        dtype
    )
    rows[1] = np.round(rng.normal(size=columns))  # ties and zeros of both signs
    rows[2] = 0.0
    rows[3] = -np.finfo(dtype).max
    ordered = np.sort(np.abs(rows), axis=1)[:, ::-1]
    for keep in {1, (columns + 1) // 2, columns}:
        assert kept_from(rows, keep).tolist() == ordered[:, keep - 1].tolist()


def test_the_cut_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    whole = kept_from(rows, 210)
    monkeypatch.setattr(blocks, "BLOCK_ELEMENTS", 7)
    assert kept_from(rows, 210).tolist() == whole.tolist()


def test_a_layer_that_nobody_survives_is_averaged_over_everybody() -> None:
    """By length only the first is usual, by signs only the others."""
    rows = np.array([[0.15] * 4, [0.1, -0.1, 0.1, -0.1], [0.2, -0.2, 0.2, -0.2]])
    outcome = lasa(rows, layout=None, sparsity=0.0, norm_radius=0.01, sign_radius=0.01)
    assert outcome.influence == pytest.approx([1 / 3] * 3)
    np.testing.assert_allclose(outcome.vector, (rows * [[1.0], [1.0], [0.75]]).mean(axis=0))


@pytest.mark.parametrize("n", [1, 3, 8])
def test_equal_updates_survive_although_nothing_deviates(n: int) -> None:
    outcome = build("lasa", byzantine=0).aggregate(np.full((n, 3), 0.1))
    assert outcome.influence == pytest.approx([1 / n] * n)


def test_zeros_have_no_sign_and_harm_nobody() -> None:
    rows = np.zeros((5, 3))
    rows[4] = 9.0
    assert build("lasa", byzantine=2).aggregate(rows).vector.tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sparsity=1", "sparsity of lasa must be at least 0 and below 1; got 1.0"),
        ("sparsity=-0.1", "got -0.1"),
        ("norm_radius=0", "above 0 standard deviations; got 0.0 and 1.0"),
        ("sign_radius=-1", "got 2.0 and -1.0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build(f"lasa({text})", byzantine=0)


def test_a_row_of_zeros_takes_no_digit_from_the_smallest_numbers() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 8))
    rows[5] = 0.0
    expected = lasa(rows, layout=None).influence
    assert expected is not None
    tiny = lasa(rows * 2.0**-1050, layout=None).influence
    assert tiny is not None
    assert tiny.tolist() == expected.tolist()
