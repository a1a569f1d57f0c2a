"""A run on record, and the commands about it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from quickthorn.server import cli, clients_cli, decide_cli
from quickthorn.server.entries import Participant, RoundRecord
from quickthorn.server.store import RunStore
from quickthorn.strategies.reputation import Change, Decision, Standing
from quickthorn.strategies.updates import Score, Verdict
from tests.commands import runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.commands import Command


NORTH, WEST, CLINIC = "key:00000000000000aa", "node:12", "key:11111111111111bb"
PEOPLE = [
    Participant(NORTH, "north-hospital", 11),
    Participant(WEST, "west-clinic", 12),
    Participant(CLINIC, "north-clinic", 13),
    Participant("key:2222222222222222", "north-clinic", 14),
]
AWAY = "update points away from the others (cosine -0.71, the others 0.32 to 0.55)"
LOUD = Standing(WEST, "watch", 2, 3, 0.99999, 0.99996, 9.5, AWAY, ("ATLAS AML.T0020",), True)
CALM = Standing(NORTH, "healthy", 2, 3, 0.25, 0.5, 0.7)
SILENT = Standing(CLINIC, "probation", 1, 0, None, 0.0, 0.0)
DECISION = Decision(WEST, "quarantine", "anna", "phoned them", "2026-11-24T12:00:00+00:00")


def a_round(number: int) -> RoundRecord:
    """Return a round in which west-clinic is loud, and from the third on refused."""
    return RoundRecord(
        number, 0.5, "aggregated", "", 3, 0, "ab12",
        verdicts=[
            Verdict(NORTH, True, "ok"),
            Verdict(WEST, True, "ok") if number < 3 else Verdict(WEST, False, "shape", "[bad]"),
            Verdict(CLINIC, False, "silent", "did not answer"),
        ],
        scores=[
            Score(NORTH, "cosine", 0.5, -0.25),
            *([Score(WEST, "cosine", -0.71, 14.75, AWAY)] if number < 3 else []),
        ],
        influence={NORTH: 0.75, WEST: 0.25} if number < 3 else {NORTH: 1.0},
        standings=[LOUD, CALM, SILENT],
        changes=[Change(WEST, 2, "probation", "watch", "quickthorn", "evidence")]
        if number == 2
        else [],
    )  # fmt: skip


@contextmanager
def run_on_record(folder: Path) -> Iterator[RunStore]:
    """Hand out a run of three rounds."""
    with RunStore.create(folder, {}) as store:
        store.add_clients(PEOPLE)
        for number in (1, 2, 3):
            store.add_round(a_round(number))
        yield store


def commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function from arguments to exit code, stdout and stderr of ``quickthorn``."""
    functions = [clients_cli.clients, clients_cli.explain]
    functions += [decide_cli.quarantine, decide_cli.readmit, decide_cli.ban]
    entries = [
        SimpleNamespace(name=function.__name__, load=lambda function=function: function)
        for function in functions
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: entries)
    monkeypatch.setenv("COLUMNS", "80")

    return runner(monkeypatch, capsys)


def found(out: str) -> dict[str, Any]:
    """Return the one JSON object that a command printed."""
    (line,) = out.splitlines()
    return dict(json.loads(line))
