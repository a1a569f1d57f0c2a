"""``quickthorn quarantine``, ``readmit`` and ``ban`` on a record."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from quickthorn.server import decide_cli
from quickthorn.server.entries import OBSERVED, Entry, Unreadable
from quickthorn.server.refusals import refusals
from quickthorn.server.roster import read_roster
from quickthorn.server.store import RunStore
from quickthorn.strategies.reputation import Change
from tests.recorded import (
    CLINIC,
    DECISION,
    LOUD,
    PEOPLE,
    SILENT,
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


def test_a_decision_is_recorded_with_who_when_and_why(
    command: Command, running: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "berta")

    code, out, err = command("quarantine", running.folder, "west", "--why", "a\x1b[2J\nb")
    assert (code, err) == (0, "")
    assert "Recorded: quarantine west-clinic (node:12), by berta." in out
    for words in ("in the next round that begins", "The last recorded round is 3.\n"):
        assert words in out
    command("readmit", running.folder, "west", "--why", "sorry", "--who", "anna")

    first, second = running.ledger.decisions()
    assert (first.decision.who, first.decision.why) == ("berta", "a\\x1b[2J\\nb")
    assert first.decision.at.endswith("+00:00")
    assert (second.decision.who, second.decision.action) == ("anna", "readmit")
    assert first.round is second.round is None


def test_a_ban_asks_unless_it_is_told_not_to(
    command: Command, running: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io  # noqa: PLC0415 - one use

    ban = ("ban", running.folder, "west", "--why", "x", "--json")
    for answer in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        code, out, err = command(*ban)
        assert (code, out) == (1, "")
        assert "Ban west-clinic (node:12) for good?" in err
    assert running.ledger.decisions() == []

    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    code, out, _ = command(*ban)
    assert (code, found(out)["round"]) == (0, 3)
    code, out, err = command(*ban, "--yes")
    assert (code, found(out)["recorded"]) == (1, [])
    assert "to ban is recorded already: west-clinic (node:12). Nothing was recorded." in err
    assert [entry.decision.action for entry in running.ledger.decisions()] == ["ban"]


def test_a_ban_is_for_good(command: Command, running: RunStore) -> None:
    banned = replace(LOUD, state="banned", proposed=False)
    running.add_round(replace(a_round(3), number=4, standings=[banned]))

    code, out, err = command("readmit", running.folder, "west", "--why", "x")

    assert (code, out) == (1, "")
    assert "banned, which cannot be undone: west-clinic (node:12). Nothing was recorded" in err
    assert running.ledger.decisions() == []


def test_one_banned_node_does_not_shield_the_others_of_its_organization(
    command: Command, running: RunStore
) -> None:
    other = "key:2222222222222222"
    banned = replace(SILENT, state="banned")
    running.add_round(replace(a_round(3), number=4, standings=[banned]))

    code, out, err = command("quarantine", running.folder, "north-clinic", "--why", "x")

    assert (code, err) == (0, "")
    assert f"Recorded: quarantine north-clinic ({other}), by " in out
    assert f"Already banned, which cannot be undone: north-clinic ({CLINIC})." in out
    assert [entry.decision.client for entry in running.ledger.decisions()] == [other]


@pytest.mark.parametrize(
    ("states", "waiting", "action", "words"),
    [
        ("watch", "", "readmit", "Not in quarantine, and not proposed for it: west-clinic"),
        ("proposed", "", "readmit", ""),
        ("quarantined", "", "readmit", ""),
        ("quarantined", "", "quarantine", "Already in quarantine by a person's decision: west"),
        ("quarantined quickthorn", "", "quarantine", ""),
        ("quarantined", "", "ban", ""),
        ("quarantined", "ban", "readmit", "The decision of anna to ban is recorded already: west"),
        ("quarantined", "readmit", "readmit", "The decision of anna to readmit is recorded alr"),
        ("quarantined", "readmit", "quarantine", ""),
        ("watch", "quarantine", "readmit", ""),
        ("watch", "quarantine", "quarantine", "The decision of anna to quarantine is recorded"),
    ],
)
def test_what_can_change_nothing_is_refused_at_once(
    states: str, waiting: str, action: str, words: str, command: Command, running: RunStore
) -> None:
    state, _, mover = states.partition(" ")
    stands = replace(LOUD, state=state.replace("proposed", "watch"), proposed=state == "proposed")
    change = Change(WEST, 4, "watch", "quarantined", mover or "anna", "x")
    changes = [change] if state == "quarantined" else []
    running.add_round(replace(a_round(3), number=4, standings=[stands], changes=changes))
    if waiting:
        running.ledger.add_decision(replace(DECISION, action=waiting))
    before = running.ledger.decisions()
    yes = ["--yes"] if action == "ban" else []

    code, out, err = command(action, running.folder, "west", "--why", "x", "--json", *yes)

    if words:
        assert (code, found(out)["recorded"], found(out)["round"]) == (1, [], 4)
        assert words in found(out)["refused"]
        assert words in err
        assert running.ledger.decisions() == before
    else:
        assert (code, err, len(found(out)["recorded"])) == (0, "", 1)


def test_what_nobody_can_read_stands_in_no_decisions_way(running: RunStore) -> None:
    entry = Entry(1, Unreadable(WEST, "obey", "mallory", "because", "now"), None)
    roster = replace(read_roster(running), coming=(entry,))

    assert refusals("ban", PEOPLE, roster, []) == {}


@pytest.mark.parametrize("action", ["quarantine", "readmit", "ban"])
def test_a_run_that_is_only_observed_takes_no_decision(
    action: str, command: Command, tmp_path: Path
) -> None:
    with RunStore.create(tmp_path, {OBSERVED: "yes"}) as store:
        store.add_clients(PEOPLE)
        store.add_round(a_round(1))

        code, out, err = command(action, tmp_path, "west", "--why", "x")

        assert (code, out) == (1, "")
        assert "only observed, and an observed run keeps nobody out. Nothing was recorded." in err
        assert store.ledger.decisions() == []


def test_a_run_that_has_been_silent_for_long_says_so(
    command: Command, running: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = read_roster(running).at
    monkeypatch.setattr(decide_cli, "_OLD_MINUTES", -1)

    out = command("quarantine", running.folder, "west", "--why", "x")[1]

    assert f"The last recorded round is 3, of {at}, " in out
    assert "minutes ago; if the server is gone, nothing will happen." in out


def test_a_finished_run_stays_as_it_is(command: Command, running: RunStore) -> None:
    running.ledger.add_decision(DECISION)
    running.close()

    code, out, err = command("ban", running.folder, "west", "--why", "x", "--yes")

    assert (code, out) == (1, "")
    assert "nothing will happen in it any more" in err
    out = command("clients", running.folder)[1]
    assert "never counted, the run ended before" in out.replace("\n", " ")
    assert "Approve it" not in out
