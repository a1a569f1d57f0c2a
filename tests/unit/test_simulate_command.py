"""``quickthorn simulate``: what it prints, where, and its exit codes."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from quickthorn.server import cli
from quickthorn.simulations import Scenario, SimulationRecord, engine
from tests.commands import runner

if TYPE_CHECKING:
    from pathlib import Path

    from tests.commands import Command

TOML = """
dataset = "breast_cancer"
clients = 6
rounds = 2
attackers = 1
byzantine = 1
attack = "not_finite"
defense = "median"
"""


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return a function from further arguments to exit code, stdout and stderr."""
    path = tmp_path / "scenario.toml"
    path.write_text(TOML, encoding="utf-8")
    entries = [EntryPoint("simulate", "quickthorn.simulations.cli:simulate", cli.GROUP)]
    other = EntryPoint("bench", "quickthorn.simulations.cli:bench", cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [*entries, other])

    return runner(monkeypatch, capsys, "simulate", path)


def test_json_is_the_record_and_nothing_else(command: Command) -> None:
    code, out, _ = command("--json", "--set", "rounds=3", "--set", "defense=krum")
    record = SimulationRecord.from_json(json.loads(out))
    assert code == 0
    assert (record.scenario.rounds, record.scenario.defense) == (3, "krum")
    again = engine.simulate(record.scenario)
    assert dataclasses.replace(record, seconds={}) == dataclasses.replace(again, seconds={})


def test_people_read_figures_and_names(command: Command) -> None:
    code, out, err = command("--set", "rounds=1")
    assert code == 0
    assert err == ""
    assert "6 clients (iid), 1 hostile (not_finite); median with byzantine=1" in " ".join(
        out.split()
    )
    for words in ("accuracy, final", "worst recall", "of class", "detection", "* hostile"):
        assert words in out
    (hostile,) = [line for line in out.splitlines() if line.strip().startswith("client-5 *")]
    assert hostile.split()[3:] == ["watch", "1", "0", "1", "not-finite"]


def test_people_and_programs_learn_who_was_quarantined_when(
    command: Command,
) -> None:
    _, out, _ = command("--set", "rounds=3", "--set", "quarantine=true")
    _, told, _ = command("--set", "rounds=3", "--set", "quarantine=true", "--json")
    found = json.loads(told)
    (change,) = [item for item in found["changes"] if item["after"] == "quarantined"]
    assert (change["client"], change["before"]) == ("client-5", "watch")
    assert found["quarantined"] == {"client-5": change["round"]}
    assert found["trails"]["client-5"]["state"] == "quarantined"
    assert f"watch 1, quarantined {change['round']}" in " ".join(out.split())


def test_without_quarantine_the_server_only_observes(
    command: Command,
) -> None:
    _, out, _ = command("--set", "rounds=3")
    assert "quarantined" not in out
    assert "watch" in out


def test_unchanged_rounds_are_told_with_the_reason(
    command: Command,
) -> None:
    code, out, _ = command("--set", "defense=krum", "--set", "clients=5")
    assert code == 0
    assert "2 of 2" in out
    assert "4 valid updates, the defense needs 5" in " ".join(out.split())


def test_the_hostile_whom_the_list_does_not_name_are_counted(
    command: Command,
) -> None:
    changes = ("attack=none", "attackers=3", "clients=30", "defense=mean")
    _, out, _ = command(*(part for change in changes for part in ("--set", change)))
    named = sum(line.strip().startswith("client-") and " *" in line for line in out.splitlines())
    assert named < 3
    assert f"22 more, {3 - named} hostile" in " ".join(out.split())


def test_rounds_without_the_attack_are_told_with_the_reason(
    command: Command,
) -> None:
    changes = ("attack=alie", "attackers=3", "clients_per_round=5", "defense=mean")
    code, out, _ = command(*(part for change in changes for part in ("--set", change)))
    assert code == 0
    assert "without the attack" in out
    assert "alie has no z for 3 hostile of 5 clients" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "atack=none"), "did you mean 'attack'?"),
        (("--set", "attack=aly"), "did you mean 'alie'?"),
        (("--set", "rounds"), "--set needs key=value; got 'rounds'."),
        (("--set", "rounds=many"), "rounds in the scenario must be an integer; got 'many'."),
        (("--set", "clients=1000"), "1000 clients cannot share 454 samples"),
        (("--set", "byzantine=4"), "median needs n >= 9 clients to tolerate byzantine=4"),
        (("--set", "attackers=0"), 'or attack to "none"'),
        (("--set", "attackers=2", "--set", "attack_start=30"), "never begins"),
    ],
)
def test_misuse_is_2_with_one_line(
    arguments: tuple[str, ...], words: str, command: Command
) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (cli.MISUSED, "")
    assert words in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", ""),
        ("attackers=2", "attackers=2, but the defense, median, assumes byzantine=1. Raise byzan"),
        ("attack=none", 'attackers=1 and attack="none": they are honest. Set attack, or attack'),
        ("attack=none byzantine=0", 'attack="none"'),
        ("attack=none attackers=0", ""),
    ],
)
def test_what_may_not_be_meant_is_said_in_one_line(
    settings: str, words: str, command: Command
) -> None:
    code, out, err = command("--json", *(f"--set={setting}" for setting in settings.split()))
    assert code == 0
    assert json.loads(out)["final"] > 0.5
    assert words in err
    assert len(err.splitlines()) == (1 if words else 0)


def test_help_names_every_key(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    words = set(out.replace(",", " ").replace(")", " ").split())
    assert {field.name for field in dataclasses.fields(Scenario)} <= words


def test_an_interruption_is_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "simulate", interrupt)
    assert command() == (130, "", "quickthorn: interrupted.\n")
