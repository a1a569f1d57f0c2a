"""Progress on stderr: a bar for who looks at it, a line now and then for who reads a log."""

from __future__ import annotations

import io
import sys

import pytest

from quickthorn.simulations.comparison.folder import Outcome, Status
from quickthorn.simulations.progress import Runs, Shown


def test_a_log_gets_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a CI does
    seconds = 0.0
    with Shown(clock=lambda: seconds) as shown:
        for done in range(1, 41):  # at first 6 s each, from the 20th on 1 s
            seconds += 6.0 if done < 20 else 1.0
            shown.update(done, 40, f"round {done} of 40")
    lines = capsys.readouterr().err.splitlines()
    # A tenth and ten seconds after the one before: every 4th round, then after 10 s.
    assert [line.split()[1] for line in lines] == ["4", "8", "12", "16", "20", "30"]
    assert lines[0] == "round 4 of 40, about 4 min left"
    assert lines[-1] == "round 30 of 40, about 42 s left"


def test_what_is_done_in_ten_seconds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Shown(clock=lambda: 0.0) as shown:
        for done in range(1, 41):
            shown.update(done, 40, "round")
    assert capsys.readouterr().err == ""


def test_a_log_hears_of_long_work_when_it_begins_and_every_ten_minutes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = 0.0
    with Shown(clock=lambda: seconds) as shown:
        for done in range(100):  # 4 min each
            shown.update(done, 1000, f"run {done}")
            seconds += 240.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["run 0", "run 3, about 67 h left"]
    assert len(lines) == 34


def test_a_run_that_failed_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = 0.0
    with Shown(clock=lambda: seconds) as shown:
        runs = Runs(shown)
        assert runs.words == "no run is done"
        runs.update(None, 4)
        statuses: list[Status] = ["failed", "interrupted", "failed", "done"]
        for ended, status in enumerate(statuses, start=1):
            seconds += 20.0
            runs.update(Outcome("a", status), 4 - ended)
    assert runs.words == "1 of 4 runs done, 2 failed, 1 interrupted"
    assert capsys.readouterr().err.splitlines() == [
        "0 of 4 runs done",
        "0 of 4 runs done, 1 failed, about 60 s left",
        "0 of 4 runs done, 1 failed, 1 interrupted, about 40 s left",
        "0 of 4 runs done, 2 failed, 1 interrupted, about 20 s left",
    ]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("term", "drawn"), [("xterm", True), ("dumb", False)])
def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, term: str, *, drawn: bool
) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", "100")
    with Shown() as shown:
        shown.update(1, 4, "round 1 of 4")
    text = terminal.getvalue()
    assert ("round 1 of 4" in text) == drawn
    assert text.endswith("\x1b[2K") == drawn  # the line is erased
