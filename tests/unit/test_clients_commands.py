"""``quickthorn clients`` and ``explain`` on a record, and how a client is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from quickthorn.server.entries import Entry, Participant
from quickthorn.server.store import RunStore
from quickthorn.strategies.reputation import Decision
from quickthorn.strategies.updates import Score
from tests.recorded import (
    CLINIC,
    DECISION,
    NORTH,
    PEOPLE,
    WEST,
    a_round,
    commands,
    found,
    run_on_record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.commands import Command


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunStore]:
    with run_on_record(tmp_path / "run") as store:
        yield store


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return commands(monkeypatch, capsys)


def test_clients_come_by_suspicion_and_a_proposal_says_how_to_approve_it(
    command: Command, running: RunStore
) -> None:
    code, out, err = command("clients", running.folder)

    assert (code, err) == (0, "")
    assert out.index("west-clinic") < out.index("north-hospital") < out.index(CLINIC)
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["north-hospital"] == ["healthy", "2", "0.25", "0.5000", "3", "ok"]
    assert rows["key:2222222222222222"] == ["-"] * 6, "two clients of one name go by their ids"
    assert "watch ?" in out
    assert "\n? a quarantine is proposed" in out
    assert "0.99 " in out, "a score is not rounded up to certainty"
    assert "0.9999 " in out
    assert "Resembles ATLAS AML.T0020" in out
    words = f"quickthorn quarantine {running.folder} west-clinic --why 'as proposed'"
    assert words in out
    lines = [line for line in out.splitlines() if words not in line]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("columns", [40, 60])
def test_names_stay_whole_in_a_narrow_terminal(
    columns: int, command: Command, running: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    code, out, err = command("clients", running.folder)

    assert (code, err) == (0, "")
    table = out[: out.index("\nwest-clinic\n")]
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.strip()}
    assert rows.keys() >= {"client", "west-clinic", "north-hospital", CLINIC}
    assert rows["west-clinic"][:2] == ["watch", "?"]
    assert rows["north-hospital"][-1] == ("healthy" if columns == 40 else "0.5000")
    assert max(map(len, table.splitlines())) <= columns


def test_clients_as_json_is_one_object(command: Command, running: RunStore) -> None:
    running.ledger.add_decision(DECISION)

    code, out, err = command("clients", running.folder / "run.sqlite", "--json")

    assert (code, err) == (0, "")
    roster = found(out)
    assert (roster["round"], roster["ended"]) == (3, "")
    first = roster["clients"][0]
    assert (first["id"], first["name"]) == (WEST, "west-clinic")
    assert first["standing"]["evidence"] == 0.99996
    assert (first["verdict"]["round"], first["verdict"]["reason"]) == (3, "[bad]")
    assert roster["clients"][-1]["standing"] is None
    (coming,) = roster["coming"]
    assert (coming["who"], coming["round"]) == ("anna", None)


def test_decisions_are_shown_until_a_round_shows_them(command: Command, running: RunStore) -> None:
    running.ledger.add_decision(DECISION)
    assert "waits for the next round" in command("clients", running.folder)[1]

    running.ledger.settle([Entry(1, DECISION, 4)])
    assert "counts from round 4" in command("clients", running.folder)[1]

    running.add_round(replace(a_round(3), number=4))
    assert "phoned them" not in command("clients", running.folder)[1]
    assert "counts from round 4" in command("explain", running.folder, WEST)[1]


def test_a_run_without_a_round_says_so(command: Command, tmp_path: Path) -> None:
    with RunStore.create(tmp_path, {}) as store:
        store.add_clients(PEOPLE)
        code, out, err = command("clients", tmp_path)
        assert (code, err) == (0, "")
        assert "No round is recorded yet" in out
        code, out, _ = command("explain", tmp_path, "west")
        assert code == 0
        assert "no round is recorded" in out


def test_explain_shows_the_evidence(command: Command, running: RunStore) -> None:
    running.ledger.add_decision(replace(DECISION, action="ban"))
    running.ledger.settle([Entry(1, DECISION, 3, "refused: no [bold] :x:")])

    code, out, err = command("explain", running.folder, "west")

    assert (code, err) == (0, "")
    for part in (
        "west-clinic (node:12): watch since round 2",
        "0.0 │███",
        "round 2: probation → watch, by quickthorn at 20",
        "ban west-clinic, by anna at 2026-11-24T12:00:00+00:00, before round 3",
        "round 3: refused: no [bold] :x:",
        "round 1, watch, score 0.99, evidence 0.9999, influence 25.0 %",
        "cosine -0.71 z 14.8", "refused (shape): [bad]",
    ):  # fmt: skip
        assert part in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    assert "round 1, watch" not in command("explain", running.folder, "west", "--rounds", 1)[1]


def test_control_characters_of_names_and_people_are_shown_escaped(
    command: Command, running: RunStore
) -> None:
    running.add_clients([Participant("node:9", "south\x1b[2J\n", 9)])
    running.ledger.add_decision(Decision("node:9", "ban", "an\x1bna", "a\rb", "2027"))

    for name, *more in (("clients",), ("clients", "--json"), ("explain", "node:9")):
        code, out, err = command(name, running.folder, *more)
        assert (code, err) == (0, "")
        assert "south\\" in out
        assert not set("\x1b\r") & set(out)
        if name == "clients" and not more:
            assert "an\\x1bna" in out
            assert "(a\\rb)" in out


def test_explain_as_json_holds_every_round(command: Command, running: RunStore) -> None:
    running.add_round(
        replace(a_round(2), number=4, scores=[Score(WEST, "norm", 1.0, float("inf"))])
    )

    code, out, _ = command("explain", running.folder, WEST, "--json", "--rounds", 1)

    assert code == 0
    dossier = found(out)
    assert dossier["name"] == "west-clinic"
    assert [page["number"] for page in dossier["rounds"]] == [1, 2, 3, 4]
    assert dossier["rounds"][0]["scores"][0]["z"] == 14.75
    assert dossier["rounds"][3]["scores"][0]["z"] is None, "JSON has no infinity"
    assert [page["influence"] for page in dossier["rounds"]] == [0.25, 0.25, None, 0.25]
    assert dossier["changes"][0]["after"] == "watch"


def test_a_terminal_without_utf8_gets_ascii(
    command: Command, running: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io  # noqa: PLC0415 - one use

    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)

    code, _, err = command("explain", running.folder, "west")

    terminal.seek(0)
    out = terminal.read()
    assert (code, err) == (0, "")
    assert "0.0 |###" in out
    assert "probation \\u2192 watch" in out


@pytest.mark.parametrize(
    ("asked", "clients"),
    [
        (NORTH, [NORTH]),
        ("00000", [NORTH]),
        ("key:00", [NORTH]),
        ("west-clinic", [WEST]),
        ("we", [WEST]),
        ("north-clinic", [CLINIC, "key:2222222222222222"]),
    ],
)
def test_a_client_goes_by_id_name_or_the_beginning_of_one(
    asked: str, clients: list[str], command: Command, running: RunStore
) -> None:
    code, out, _ = command("quarantine", running.folder, asked, "--why", "x", "--json")

    assert code == 0
    assert [decision["client"] for decision in found(out)["recorded"]] == clients
    assert [entry.decision.client for entry in running.ledger.decisions()] == clients


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("explain", "west-clinik"), 2, "unknown client 'west-clinik'; did you mean 'west-clinic'"),
        (("explain", ""), 2, "unknown client ''"),
        (("explain", "north"), 2, "'north' may be north-clinic or north-hospital"),
        (("explain", "north-clinic"), 2, "north-clinic has 2 clients"),
        (("ban", "wset", "--why", "x", "--yes"), 2, "unknown client 'wset'"),
        (("quarantine", "west", "--why", "  "), 2, "--why needs a text"),
        (("readmit", "west", "--why", "x", "--who", " "), 2, "--who needs a text"),
        (("readmit", "west"), 2, "Missing option '--why'"),
    ],
)
def test_what_cannot_be_done_is_said_on_stderr(
    arguments: tuple[str, ...], code: int, words: str, command: Command, running: RunStore
) -> None:
    name, client, *options = arguments

    found_code, out, err = command(name, running.folder, client, *options)

    assert (found_code, out) == (code, "")
    assert words in err
    assert running.ledger.decisions() == []


def test_a_missing_run_is_1(command: Command, tmp_path: Path) -> None:
    for name, *options in (("clients",), ("explain", "x"), ("ban", "x", "--why", "y", "--yes")):
        code, out, err = command(name, tmp_path, *options)
        assert (code, out) == (1, "")
        assert "holds no run" in err


@pytest.mark.parametrize("name", ["clients", "explain", "quarantine", "readmit", "ban"])
def test_help_suffices(name: str, command: Command) -> None:
    code, out, _ = command(name, "--help")

    assert code == 0
    for word in ("RUN", "--json", *(("--why", "--who") if name in {"readmit", "ban"} else ())):
        assert word in out
