"""Answers of Flower's command, also where it does not end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from quickthorn.simulations.children import Children
from quickthorn.simulations.flower_cli import FlowerCli
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = '{"success": true, "runs": [{"run-id": 7, "status": "running"}]}'
PATIENT, HASTY = 60.0, 3.0


def status(folder: Path, body: str, seconds: float) -> tuple[str, str]:
    """Ask for the status of run 7 by a ``flwr`` that runs ``body`` in a shell."""
    fake = folder / "flwr"
    fake.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    with Children() as children:
        return FlowerCli(children, environment, folder, seconds=seconds).status("7")


@pytest.mark.parametrize(("after", "seconds"), [("", PATIENT), ("exec sleep 600", HASTY)])
def test_a_complete_answer_counts_also_where_the_command_hangs(
    after: str, seconds: float, tmp_path: Path
) -> None:
    assert status(tmp_path, f"echo '{ANSWER}'\n{after}", seconds) == ("running", "")


def test_the_answer_is_not_colored_where_a_user_has_all_output_colored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    body = f"test -n \"$FORCE_COLOR$TTY_COMPATIBLE\" || echo '{ANSWER}'"
    assert status(tmp_path, body, PATIENT) == ("running", "")


@pytest.mark.parametrize(
    ("body", "seconds", "words"),
    [
        (f"echo '{ANSWER[:30]}'; exec sleep 600", HASTY, "did not end within 3 s"),
        (f"echo '{ANSWER}'; exit 4", PATIENT, "failed (4)"),
        ("""echo '{"success": false}'""", PATIENT, "failed (0)"),
    ],
)
def test_what_is_no_answer_is_an_error_that_names_the_logs(
    body: str, seconds: float, words: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError) as caught:
        status(tmp_path, body, seconds)

    assert words in str(caught.value)
    assert f"the logs are in {tmp_path}" in str(caught.value)
