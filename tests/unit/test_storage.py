"""The updates of a large round lie in a file: the same bits, and gone afterwards."""

from __future__ import annotations

import errno
import gc
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from flwr.app import RecordDict

from quickthorn.server import intake, strategy
from quickthorn.server.storage import reserve
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.round import RoundOutcome, run_round
from tests.federations import client_of, grid_of, members, run

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array

FLOAT = np.dtype(np.float32)


def open_files(folder: Path) -> list[str]:
    """Return the files of ``folder`` that this process has mapped."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return [line for line in maps if str(folder) in line and "sqlite" not in line]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_matrix_goes_to_a_file_from_the_stated_size_on(tmp_path: Path) -> None:
    for spill_bytes, mapped in ((81, False), (80, True), (0, False)):
        values = reserve((4, 5), FLOAT, folder=tmp_path, spill_bytes=spill_bytes)
        assert isinstance(values, np.memmap) == mapped
        assert (values.shape, values.dtype) == ((4, 5), FLOAT)
        assert len(open_files(tmp_path)) == mapped
        assert names(tmp_path) == []  # no name: nothing can be left behind
        del values
        assert open_files(tmp_path) == []


def test_the_file_has_its_blocks_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallocate, taken = os.posix_fallocate, []

    def noting(file: int, start: int, size: int) -> None:
        fallocate(file, start, size)
        taken.append(os.fstat(file).st_blocks * 512)

    monkeypatch.setattr(os, "posix_fallocate", noting)
    values = reserve((64, 1 << 14), FLOAT, folder=tmp_path, spill_bytes=1)

    assert taken == [pytest.approx(values.nbytes, abs=1 << 20)]
    monkeypatch.delattr(os, "posix_fallocate")  # as on macOS
    zeros = reserve((3, 500_000), FLOAT, folder=tmp_path, spill_bytes=1)
    assert isinstance(zeros, np.memmap)
    assert not zeros.any()


def test_room_is_left_for_the_record_and_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, row = 80 << 20, 20 << 20
    for free, enough in ((size + row + (64 << 20), True), (size + row + (64 << 20) - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if enough:
            reserve((4, row // 4), FLOAT, folder=tmp_path, spill_bytes=1)
            continue
        with pytest.raises(OSError, match="No space left on device"):
            reserve((4, row // 4), FLOAT, folder=tmp_path, spill_bytes=1)


@pytest.fixture
def reserved(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note for each round whether its updates lie in a file."""
    mapped: list[bool] = []

    def noting(*args: Any, **options: Any) -> Array:  # noqa: ANN401 - whatever it takes
        values = reserve(*args, **options)
        mapped.append(isinstance(values, np.memmap))
        return values

    monkeypatch.setattr(intake, "reserve", noting)
    return mapped


@pytest.mark.parametrize("defense", ["mean", "median", "krum", "geometric_median"])
def test_a_file_changes_no_bit(defense: str, tmp_path: Path, reserved: list[bool]) -> None:
    apps = members()
    apps[2].spoil = lambda _, _content: RecordDict()  # a gap among the rows

    runs = [
        run(tmp_path / str(limit), grid_of(apps), defense=defense, spill_bytes=limit)
        for limit in (0, 1)
    ]

    assert reserved == [False, False, True, True]
    assert runs[0].bits == runs[1].bits
    with runs[0].record() as memory, runs[1].record() as file:
        assert memory.verdicts() == file.verdicts()
        assert memory.scores() == file.scores()
    assert open_files(tmp_path) == []
    assert names(tmp_path / "0") == names(tmp_path / "1") == ["model.safetensors", "run.sqlite"]


def test_a_full_disk_costs_the_round_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fallocate, attempts = os.posix_fallocate, []

    def full_at_first(*args: int) -> None:
        attempts.append(args)
        if len(attempts) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fallocate(*args)

    monkeypatch.setattr(os, "posix_fallocate", full_at_first)
    apps = members()

    found = run(tmp_path, grid_of(apps), defense="centered_clipping", rounds=3, spill_bytes=1)

    assert [app.calls for app in apps] == [2] * 7  # nobody trains for nothing
    with found.record() as record:
        first, second, third = record.rounds()
        assert [r["status"] for r in (first, second, third)] == [
            "aggregated", "unchanged", "aggregated",
        ]  # fmt: skip
        assert second["reason"] == (
            "no room for 7 updates of 10 parameters: [Errno 28] No space left on device"
        )
        assert first["model"] == second["model"] != third["model"]
        assert (second["asked"], second["accepted"]) == (7, 0)
        verdicts = [verdict for _, _, verdict in record.verdicts(2)]
    assert {(v.client, v.accepted, v.code) for v in verdicts} == {
        (client_of(index), False, "no-room") for index in range(7)
    }


def test_a_file_is_gone_with_the_round_whatever_still_refers_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(*given: Any, **options: Any) -> RoundOutcome:  # noqa: ANN401 - whatever it takes
        cycle = list(given)
        cycle.append(cycle)
        return run_round(*given, **options)

    monkeypatch.setattr(strategy, "run_round", leaky)
    gc.disable()
    try:
        run(tmp_path, grid_of(members()), rounds=1, spill_bytes=1)
        assert open_files(tmp_path) == []
    finally:
        gc.enable()


def test_a_failure_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: list[bool]
) -> None:
    def fails(*_args: object, **_options: object) -> None:
        assert len(open_files(tmp_path)) == 1
        raise ZeroDivisionError

    monkeypatch.setattr(strategy, "run_round", fails)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, grid_of(members()), spill_bytes=1)

    assert reserved == [True]
    assert open_files(tmp_path) == []
    assert names(tmp_path) == ["run.sqlite"]


@pytest.mark.parametrize("nonsense", [-1, 0.5])
def test_a_limit_that_cannot_be_is_refused(nonsense: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="spill_bytes must be an integer, 0 or more"):
        run(tmp_path, grid_of(members()), spill_bytes=nonsense)
