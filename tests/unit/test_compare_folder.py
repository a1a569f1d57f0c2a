"""A claim has one owner and dies with it; a result is whole or absent."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.comparison.folder import Folder, Outcome, write_whole
from quickthorn.simulations.comparison.pool import note_interruption
from quickthorn.simulations.comparison.results import read_records
from quickthorn.simulations.comparison.work import do_run, is_open
from quickthorn.strategies.errors import ConfigurationError, RunError

if TYPE_CHECKING:
    from pathlib import Path

_HOLDER = """
import sys, time
from pathlib import Path
from quickthorn.simulations.comparison.folder import Folder
with Folder(Path(sys.argv[1])).claim("ab12") as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_claim_belongs_to_one_and_is_free_afterwards(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.claim("ab12") as first, Folder(tmp_path).claim("ab12") as second:
        assert (first, second) == (True, False)
        with folder.claim("cd34") as other:
            assert other
    with folder.claim("ab12") as again:
        assert again
    assert not list((tmp_path / "claims").iterdir())


def test_a_claim_dies_with_its_owner(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        (sys.executable, "-c", _HOLDER, str(tmp_path)), stdout=subprocess.PIPE, env=environment
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"True\n"
        with Folder(tmp_path).claim("ab12") as mine:
            assert not mine
        owner.send_signal(signal.SIGKILL)
    with Folder(tmp_path).claim("ab12") as mine:
        assert mine


def test_a_claim_on_a_file_that_its_owner_removed_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our opening of the file and our lock, its owner lets go and removes it."""
    folder = Folder(tmp_path)
    path = tmp_path / "claims" / "ab12"
    real = fcntl.flock
    calls: list[int] = []

    def lock(descriptor: int, how: int) -> None:
        if not calls:
            path.unlink()
        calls.append(descriptor)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    with folder.claim("ab12") as mine:
        assert mine
        assert path.exists()
    assert len(calls) == 2


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_whole(path, b"old")

    def stop(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"old"]


def test_two_who_write_at_once_both_end_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in two containers, where processes have the same number."""
    path, real = tmp_path / "result.json", os.fsync

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        write_whole(path, b"another's")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    write_whole(path, b"whole")
    assert [item.read_bytes() for item in tmp_path.iterdir()] == [b"whole"]


def test_what_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*report\.html: Is a directory"):
        write_whole(tmp_path / "report.html", b"page")


def test_records_are_read_of_a_comparison_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no runs"):
        next(read_records(tmp_path / "mistyped"))
    assert not any(tmp_path.iterdir())


def test_a_run_that_is_lost_while_it_is_tried_again_was_interrupted(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save(Outcome("ab12", "failed", "ValueError: no"))
    assert note_interruption(folder, "ab12", "killed", retry=False)
    assert folder.load("ab12") == Outcome("ab12", "failed", "ValueError: no")
    assert note_interruption(folder, "ab12", "killed", retry=True)
    assert folder.load("ab12") == Outcome("ab12", "interrupted", "killed")


def test_what_a_killed_owner_left_unfinished_is_gone_after_the_next(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    unfinished = tmp_path / "runs" / ".ab12.json.owner"
    unfinished.write_text('{"run": "ab', encoding="utf-8")
    assert folder.load("ab12") is None
    assert folder.runs() == []
    folder.save(Outcome("ab12", "failed", "x"))
    assert folder.runs() == ["ab12"]
    assert not unfinished.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run": "ab12"}'])
def test_a_result_that_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "runs" / "ab12.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=r"cannot read the result .*ab12\.json.*delete it"):
        folder.load("ab12")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="choose another --out"):
        Folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("outcome", "retry", "is_to_do"),
    [
        (None, False, True),
        (Outcome("a", "done", record={}), True, False),
        (Outcome("a", "failed", "x"), False, False),
        (Outcome("a", "failed", "x"), True, True),
        (Outcome("a", "interrupted", "x"), False, True),
    ],
)
def test_what_is_to_do(outcome: Outcome | None, *, retry: bool, is_to_do: bool) -> None:
    assert is_open(outcome, retry=retry) is is_to_do


def test_a_run_that_another_process_has_done_is_not_repeated(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save(Outcome("ab12", "done", record={"told": "by the other"}))
    # An unreadable scenario: doing the run would change its result.
    assert do_run(folder, "ab12", {"no": "scenario"}, retry=True)
    found = folder.load("ab12")
    assert found is not None
    assert found.record == {"told": "by the other"}


def test_a_run_that_another_process_has_is_left_to_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.claim("ab12"):
        assert not do_run(folder, "ab12", {"no": "scenario"}, retry=False)
    assert folder.load("ab12") is None
