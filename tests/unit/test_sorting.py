"""The compiled order statistics: the network sorts, and the bits are those of numpy's sort."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quickthorn.strategies.kernels import native, order, signs, sorting
from quickthorn.strategies.kernels.nearest import nearest_mean, window_mean
from quickthorn.strategies.kernels.network import selection
from quickthorn.strategies.kernels.order import middle_mean, sorted_mean
from quickthorn.strategies.kernels.passes import merge_passes
from quickthorn.strategies.kernels.signs import vote_mean
from quickthorn.strategies.kernels.sorting import count_votes, network_mean, network_nearest
from quickthorn.strategies.kernels.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Matrix = np.ndarray[Any, np.dtype[Any]]


def execute(pairs: Iterable[tuple[int, int]], rows: Matrix) -> Matrix:
    """Run comparators over the rows, one after the other."""
    rows = rows.copy()
    for low, high in pairs:
        rows[[low, high]] = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
    return rows


def zeros_and_ones(n: int) -> Matrix:
    """Return every column of n zeros and ones: (n, 2^n)."""
    return np.array(list(itertools.product((0, 1), repeat=n)), np.int8).T


# The networks ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 12))
def test_a_network_that_sorts_all_zeros_and_ones_sorts_everything(n: int) -> None:
    # The 0-1 principle (Knuth, TAOCP 3, 5.3.4, theorem Z), for the full and every pruned network.
    cases = zeros_and_ones(n)
    for low, high in itertools.combinations(range(n + 1), 2):
        network = selection(n, low, high)
        result = execute(network.pairs, cases)[list(network.outputs)]
        assert (result == np.sort(cases, axis=0)[low:high]).all()


# Knuth, TAOCP 3, section 5.3.4, table 1, and Dobbelaere's list: the smallest known.
SIZES = {9: 25, 10: 29, 11: 35, 12: 39, 14: 51, 15: 56, 16: 60}


@pytest.mark.parametrize("n", [12, 13, 14, 15, 16])
def test_the_networks_of_the_table_sort_all_zeros_and_ones(n: int) -> None:
    cases = zeros_and_ones(n)
    network = selection(n, 0, n)
    assert (execute(network.pairs, cases)[list(network.outputs)] == np.sort(cases, axis=0)).all()


def test_the_networks_of_the_table_are_the_smallest_known() -> None:
    assert {n: len(selection(n, 0, n).pairs) for n in SIZES} == SIZES


@pytest.mark.parametrize("n", [17, 31, 32, 33, 64, 100, 128])
def test_larger_networks_sort_random_columns(n: int) -> None:
    cases = np.random.default_rng(n).normal(size=(n, 200)).round(1)
    for low, high in ((0, n), ((n - 1) // 2, n // 2 + 1), (n // 5, n - n // 5)):
        network = selection(n, low, high)
        result = execute(network.pairs, cases)[list(network.outputs)]
        assert (result == np.sort(cases, axis=0)[low:high]).all()


def test_the_median_needs_fewer_comparators_than_the_sort() -> None:
    # Batcher's own network, padded to 128 rows, has 1104 for the sort of 100.
    assert len(selection(100, 0, 100).pairs) == 1058
    assert len(selection(100, 49, 51).pairs) < 0.82 * 1058


@pytest.mark.parametrize("run", [2, 4, 8])
@pytest.mark.parametrize("n", [2, 3, 5, 8, 9, 11])
def test_passes_merge_all_sorted_runs_of_zeros_and_ones(n: int, run: int) -> None:
    spare = -(-n // run) * run
    cases = np.full((spare + 1, 2**n), 9, np.int8)
    cases[:n] = zeros_and_ones(n)
    for start in range(0, n, run):
        cases[start : start + run].sort(axis=0)
    for low, high in itertools.combinations(range(n + 1), 2):
        rows = cases
        for each in merge_passes(n, run, low, high):
            assert len(np.unique(each.places)) >= each.places.size - (each.places == spare).sum()
            shuffled = np.random.default_rng(n).permutation(len(each.rows))  # any order will do
            for wires, places in zip(each.rows[shuffled], each.places[shuffled], strict=True):
                pairs = [(0, 1)] if len(wires) == 2 else [(0, 2), (1, 3), (0, 1), (2, 3)]
                rows = rows.copy()
                rows[places] = execute(pairs, rows[wires])
        assert (rows[low:high] == np.sort(cases, axis=0)[low:high]).all()
        assert (rows[n:] == 9).all()


# The bits -------------------------------------------------------------------------------

# 128 and 129, 48 and 49: the two sides of a change of form or of tile.
ROWS = [1, 2, 3, 5, 16, 17, 48, 49, 100, 128, 129, 192, 193, 300, 2100]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", ROWS)
def test_the_compiled_form_has_the_bits_of_numpys(n: int, dtype: type) -> None:
    values: Matrix = np.random.default_rng(n).standard_t(2, size=(n, 277)).astype(dtype)
    for trim in {0, (n - 1) // 2, (n - 1) // 4}:
        assert network_mean(values, trim).tobytes() == sorted_mean(values, trim).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 7, 16, 60, 129, 300])
def test_the_compiled_windows_have_the_bits_of_numpys(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    every = np.arange(n)
    for rows in (rng.normal(size=(n, 277)), rng.integers(-2, 3, (n, 277)), np.zeros((n, 3))):
        values: Matrix = rows.astype(dtype)
        for count in {1, (n + 1) // 2, n - n // 5, n}:
            expected: Matrix = window_mean(np.sort(values, axis=0), count).astype(dtype)
            result = network_nearest(values, rng.permutation(every), count)
            assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 9, 140])
def test_the_compiled_votes_have_the_bits_of_numpys(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    for rows in (rng.normal(size=(n, 277)), rng.integers(-1, 2, (n, 277)), np.zeros((n, 3))):
        values: Matrix = rows.astype(dtype)
        for threshold in {0, 1, n // 3, n, n + 1}:
            expected = vote_mean(values, threshold)
            assert count_votes(values, threshold).tobytes() == expected.tobytes()


EDGES: list[float] = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, -3e38, 1e-20]


@settings(max_examples=40)
@given(
    st.integers(1, 9).flatmap(
        lambda n: arrays(np.float32, (n, 70), elements=st.sampled_from(EDGES).map(np.float32))
    )
)
def test_ties_signs_of_zero_and_extremes_have_the_same_bits(values: Matrix) -> None:
    n = len(values)
    trim = (n - 1) // 2
    assert network_mean(values, trim).tobytes() == sorted_mean(values, trim).tobytes()
    count = n - trim
    expected = window_mean(np.sort(values, axis=0), count).astype(np.float32)
    assert network_nearest(values, np.arange(n), count).tobytes() == expected.tobytes()


def test_sums_beyond_float64_are_averaged_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (order, signs):
        monkeypatch.setattr(module, "SMALL", 0)
    values = np.full((4, 80), 1.7e308)
    values[:, 1] = 2.0
    expected = [1.7e308, 2.0] + [1.7e308] * 78
    assert middle_mean(values, 0).tolist() == expected
    assert nearest_mean(values, np.arange(4), 3).tolist() == expected
    assert vote_mean(values, 4).tolist() == expected
    assert vote_mean(values, 5).tolist() == [-value for value in expected]


def test_huge_columns_take_the_plain_form_and_the_others_keep_their_bits() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 40_000))
    rows[:, 7] = np.linspace(1.0, 1.7, 9) * 1e308
    whole = nearest_mean(rows, np.arange(9), 5)
    part = nearest_mean(rows[:, :20], np.arange(9), 5)
    np.testing.assert_array_equal(whole[:20], part)
    assert whole[7] == pytest.approx(1.35e308)


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_the_bits_do_not_depend_on_the_threads(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "_PART", 1 << 17)  # so that there is work for all
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


# Where the values come from -------------------------------------------------------------


def test_any_memory_layout_has_the_same_bits() -> None:
    whole = np.random.default_rng(1).normal(size=(20, 900)).astype(np.float32)
    unaligned = np.zeros(20 * 900 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(20, 900)
    unaligned[:] = whole
    assert not unaligned.flags.aligned
    views = (whole[::2, 100:], whole[::-1], np.asfortranarray(whole), whole[:, ::3], unaligned)
    for view in views:
        expected = sorted_mean(np.ascontiguousarray(view), 2)
        assert network_mean(view, 2).tobytes() == expected.tobytes()


class Columns:
    """Rows that exist only block by block, each twice that of an array."""

    def __init__(self, half: Matrix) -> None:
        self.half = half
        self.shape, self.dtype = half.shape, half.dtype
        self.widest = 0

    def __len__(self) -> int:
        return len(self.half)

    def __getitem__(self, where: Any) -> Matrix:  # noqa: ANN401 - columns, or rows and columns
        block: Matrix = self.half[where] * 2
        self.widest = max(self.widest, block.shape[1])
        return block


def test_rows_that_exist_only_block_by_block_have_the_bits_of_an_array() -> None:
    half = np.random.default_rng(3).normal(size=(40, 20_011)).astype(np.float32)
    lazy: Any = Columns(half)
    assert middle_mean(lazy, 8).tobytes() == middle_mean(half * 2, 8).tobytes()
    picks = np.array([3, 39, 0, 7, 8, 11, 20, 21, 25])
    expected = nearest_mean(half * 2, picks, 5)
    assert nearest_mean(lazy, picks, 5).tobytes() == expected.tobytes()
    assert lazy.widest < 40_000 // len(picks) * 8


def traced(run: Callable[[], Matrix]) -> tuple[Matrix, int]:
    """Run something; return its result and the most memory it held."""
    tracemalloc.start()
    result = run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak


@pytest.mark.parametrize("n", [20, 200])
def test_a_mapped_file_is_averaged_in_a_tenth_of_its_memory(n: int, tmp_path: Path) -> None:
    d = 6_000_000 // n
    values = np.memmap(tmp_path / "values", np.float32, "w+", shape=(n, d))
    values[:] = np.random.default_rng(4).normal(size=(n, d))
    network_mean(values[:, :99], 3)  # what is compiled stays
    network_nearest(values[:, :99], np.arange(n), 9)
    middle, extra = traced(lambda: middle_mean(values, 3))
    assert extra < 0.1 * values.nbytes
    near, extra = traced(lambda: nearest_mean(values, np.arange(n), 9))
    assert extra < 0.1 * values.nbytes
    inside = np.array(values[:, -77:])
    assert middle[-77:].tobytes() == sorted_mean(inside, 3).tobytes()
    expected = window_mean(np.sort(inside, axis=0), 9).astype(np.float32)
    assert near[-77:].tobytes() == expected.tobytes()


# When it is compiled --------------------------------------------------------------------


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


def python(code: str, cache: Path) -> str:
    environment = {**os.environ, "QUICKTHORN_CACHE": str(cache)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


def test_a_second_process_does_not_compile_again(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from quickthorn.strategies.kernels.order import middle_mean\n"
        "middle_mean(np.ones((3, 70), np.float32), 1)\n"
        "print(any(name.startswith(('llvmlite', 'numba')) for name in sys.modules))\n"
        "from quickthorn.strategies.kernels import native\n"
        "kept, compile = native._read, native._write\n"
        "native._read = lambda path: print('read', bool(kept(path))) or kept(path)\n"
        "native._write = lambda *a: print('compiled') or compile(*a)\n"
        "middle_mean(np.ones((3, 100_000), np.float32), 1)\n"
    )
    cache = tmp_path / "new"
    assert python(code, cache).split("\n") == ["False", "read False", "compiled"]
    assert python(code, cache).split("\n") == ["False", "read True"]
    assert len(list(cache.iterdir())) == 1


def test_a_damaged_or_unusable_cache_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICKTHORN_CACHE", str(tmp_path))
    values = np.random.default_rng(5).normal(size=(4, 300)).astype(np.float32)
    expected = sorted_mean(values, 1).tobytes()

    def fresh() -> bytes:
        sorting._kernel.cache_clear()
        return network_mean(values, 1).tobytes()

    assert fresh() == expected
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damage in (whole[:-1], b"", whole[:100] + b"\x00" + whole[101:]):
        file.write_bytes(damage)
        assert fresh() == expected
        assert file.read_bytes() == whole
    (tmp_path / "file").touch()
    monkeypatch.setenv("QUICKTHORN_CACHE", str(tmp_path / "file"))
    assert fresh() == expected


def test_the_cache_is_beside_the_code_or_in_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("QUICKTHORN_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert native._folder() == Path(native.__file__).parent / "__pycache__"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert native._folder() == tmp_path / ".cache" / "quickthorn"

    def nobody() -> Path:
        msg = "Could not determine home directory."
        raise RuntimeError(msg)

    monkeypatch.setattr(Path, "home", nobody)
    assert native._folder() == Path(native.__file__).parent / "__pycache__"
