"""``quickthorn clients``, ``explain``, ``quarantine``, ``readmit`` and ``ban`` on a record."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from quickthorn.server import chart, cli, clients_cli, decide_cli
from quickthorn.server.entries import OBSERVED, Entry, Participant, RoundRecord, Unreadable
from quickthorn.server.refusals import refusals
from quickthorn.server.roster import read_roster
from quickthorn.server.store import RunStore
from quickthorn.strategies.reputation import Change, Decision, Standing
from quickthorn.strategies.updates import Score, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Command = Callable[..., tuple[int, str, str]]

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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore.create(tmp_path / "run", {}) as store:
        store.add_clients(PEOPLE)
        for number in (1, 2, 3):
            store.add_round(a_round(number))
        yield store


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function from arguments to exit code, stdout and stderr of ``quickthorn``."""
    functions = [clients_cli.clients, clients_cli.explain]
    functions += [decide_cli.quarantine, decide_cli.readmit, decide_cli.ban]
    entries = [
        SimpleNamespace(name=function.__name__, load=lambda function=function: function)
        for function in functions
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: entries)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["quickthorn", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def found(out: str) -> dict[str, Any]:
    (line,) = out.splitlines()
    return dict(json.loads(line))


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


@pytest.mark.parametrize("name", ["clients", "explain", "quarantine", "readmit", "ban"])
def test_help_suffices(name: str, command: Command) -> None:
    code, out, _ = command(name, "--help")

    assert code == 0
    for word in ("RUN", "--json", *(("--why", "--who") if name in {"readmit", "ban"} else ())):
        assert word in out


@pytest.mark.parametrize("full", ["█", "#"])
@pytest.mark.parametrize("rounds", [1, 4, 74, 75, 1000])
def test_a_chart_fits_and_shows_the_worst(rounds: int, full: str) -> None:
    worst = rounds // 2 + 1
    points = [
        chart.Point(number, 1.0 if number == worst else 0.0, "healthy")
        for number in range(1, rounds + 1)
    ]

    lines = chart.draw(points, width=80, ascii_only=full.isascii()).splitlines()

    assert max(map(len, lines)) <= 80
    assert lines[0].count(full) == 1
    assert lines[7].strip().startswith("1")
    assert ("highest of" in lines[-1]) == (rounds > 74)
    assert all(map(str.isascii, lines)) == full.isascii()
