"""Progress on stderr: a bar for who looks at it, a line now and then for who reads a log."""

from __future__ import annotations

import io
import sys

import pytest
from rich.progress import TimeElapsedColumn

from quickthorn.simulations.progress import Shown


def test_a_log_gets_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a CI does
    seconds = 0.0
    with Shown(TimeElapsedColumn(), clock=lambda: seconds) as shown:
        for done in range(1, 41):  # at first 6 s each, from the 20th on 1 s
            seconds += 6.0 if done < 20 else 1.0
            shown.update(done, 40, f"round {done} of 40")
    lines = capsys.readouterr().err.splitlines()
    # A tenth and ten seconds after the one before: every 4th round, then after 10 s.
    assert [line.split()[1] for line in lines] == ["4", "8", "12", "16", "20", "30"]
    assert lines[0] == "round 4 of 40 (10% done, about 4 min left)"
    assert lines[-1] == "round 30 of 40 (75% done, about 42 s left)"


def test_what_is_done_in_ten_seconds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Shown(TimeElapsedColumn(), clock=lambda: 0.0) as shown:
        for done in range(1, 41):
            shown.update(done, 40, "round")
    assert capsys.readouterr().err == ""


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
    with Shown(TimeElapsedColumn()) as shown:
        shown.update(1, 4, "round 1 of 4")
    text = terminal.getvalue()
    assert ("round 1 of 4" in text) == drawn
    assert text.endswith("\x1b[2K") == drawn  # the line is erased
