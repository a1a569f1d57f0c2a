"""The compiled order statistics: the network sorts, and the bits are those of numpy's sort."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quickthorn.strategies.kernels import order, sorting
from quickthorn.strategies.kernels.network import comparators
from quickthorn.strategies.kernels.order import middle_mean, sorted_mean
from quickthorn.strategies.kernels.sorting import network_mean
from quickthorn.strategies.kernels.threads import thread_count

Matrix = np.ndarray[Any, np.dtype[Any]]


def execute(network: Matrix, values: Matrix) -> Matrix:
    """Run comparators over the last axis, one after the other."""
    values = values.copy()
    for low, high in network:
        left, right = values[..., low].copy(), values[..., high].copy()
        values[..., low], values[..., high] = np.minimum(left, right), np.maximum(left, right)
    return values


@pytest.mark.parametrize("n", range(1, 13))
def test_a_network_that_sorts_all_zeros_and_ones_sorts_everything(n: int) -> None:
    # The 0-1 principle (Knuth, TAOCP 3, 5.3.4, theorem Z), for the full and every pruned network.
    cases = np.array(list(itertools.product((0, 1), repeat=n)))
    for low, high in itertools.combinations(range(n + 1), 2):
        result = execute(comparators(n, low, high), cases)
        assert (result[:, low:high] == np.sort(cases, axis=1)[:, low:high]).all()


@pytest.mark.parametrize("n", [13, 31, 32, 33, 64, 100, 129, 257])
def test_larger_networks_sort_random_columns(n: int) -> None:
    cases = np.random.default_rng(n).normal(size=(200, n)).round(1)
    trim = (n - 1) // 2
    assert (execute(comparators(n, 0, n), cases) == np.sort(cases, axis=1)).all()
    kept = execute(comparators(n, trim, n - trim), cases)[:, trim : n - trim]
    assert (kept == np.sort(cases, axis=1)[:, trim : n - trim]).all()


def test_the_median_needs_fewer_comparators_than_the_sort() -> None:
    assert len(comparators(100, 49, 51)) < 0.82 * len(comparators(100, 0, 100))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 100, 300])
def test_the_compiled_form_has_the_bits_of_numpys(n: int, dtype: type) -> None:
    values: Matrix = np.random.default_rng(n).standard_t(2, size=(n, 777)).astype(dtype)
    for trim in {0, (n - 1) // 2, (n - 1) // 4}:
        assert network_mean(values, trim).tobytes() == sorted_mean(values, trim).tobytes()


EDGES: list[float] = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, -3e38, 1e-20]


@settings(max_examples=40)
@given(
    st.integers(1, 9).flatmap(
        lambda n: arrays(np.float32, (n, 70), elements=st.sampled_from(EDGES).map(np.float32))
    )
)
def test_ties_signs_of_zero_and_extremes_have_the_same_bits(values: Matrix) -> None:
    trim = (len(values) - 1) // 2
    assert network_mean(values, trim).tobytes() == sorted_mean(values, trim).tobytes()


def test_sums_beyond_float64_are_averaged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_SMALL", 0)
    values = np.full((4, 80), 1.7e308)
    values[:, 1] = 2.0
    result = middle_mean(values, 0)
    assert result.tolist() == [1.7e308, 2.0] + [1.7e308] * 78


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_bits_do_not_depend_on_the_threads(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).normal(size=(11, 140_001)).astype(np.float32)
    expected = sorted_mean(values, 3)
    monkeypatch.setenv("QUICKTHORN_THREADS", threads)
    assert thread_count() == int(threads)
    assert network_mean(values, 3).tobytes() == expected.tobytes()


@pytest.mark.parametrize("nonsense", ["", "0", "-2", "many"])
def test_without_a_usable_number_the_threads_are_the_cores(
    nonsense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKTHORN_THREADS", nonsense)
    assert thread_count() >= 1


def test_rows_of_a_larger_matrix_and_fortran_order_have_the_same_bits() -> None:
    whole = np.random.default_rng(1).normal(size=(20, 900)).astype(np.float32)
    for view in (whole[::2, 100:], np.asfortranarray(whole), whole[:, ::3]):
        expected = sorted_mean(np.ascontiguousarray(view), 2)
        assert network_mean(view, 2).tobytes() == expected.tobytes()


def test_both_forms_are_used_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=(8, 40_000)).astype(np.float32)
    used = []
    compiled = sorting.network_mean

    def watched(values: Matrix, trim: int) -> Matrix:
        used.append(values.shape)
        return compiled(values, trim)

    monkeypatch.setattr(sorting, "network_mean", watched)
    large = middle_mean(values, 2)
    small = middle_mean(values[:, :99], 2)
    assert used == [(8, 40_000)]
    assert large[:99].tobytes() == small.tobytes()


def test_a_second_process_does_not_compile_again() -> None:
    code = (
        "import numpy as np\n"
        "from quickthorn.strategies.kernels import sorting\n"
        "sorting.network_mean(np.ones((3, 70), np.float32), 1)\n"
        "stats = sorting._average_middle.stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))\n"
    )
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True)  # whoever is first compiles
    second = subprocess.run(command, check=True, capture_output=True, text=True)
    assert second.stdout.split() == ["1", "0"]
