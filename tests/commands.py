"""Commands as a shell would call them, in this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from quickthorn.server import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Command = Callable[..., tuple[int, str, str]]


def runner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: object
) -> Command:
    """Return a function from further arguments of a command to its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["quickthorn", *map(str, (*first, *arguments))])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
