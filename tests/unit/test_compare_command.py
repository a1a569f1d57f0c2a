"""The command says how far it is, what failed, and how to go on; its exit code says the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from quickthorn.simulations.compare_cli import compare
from quickthorn.simulations.comparison.compare import Comparison
from quickthorn.simulations.comparison.folder import Outcome
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from tests.comparisons import record, results

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from quickthorn.simulations.record import SimulationRecord
    from quickthorn.simulations.scenario import Scenario

COMMAND = typer.Typer()
COMMAND.command()(compare)

GO_ON = "The same command goes on with the rest; --no-run reports what there is."


def run(*arguments: str) -> Result:
    return CliRunner().invoke(COMMAND, arguments)


def half_of_them(scenario: Scenario) -> SimulationRecord | str:
    return record(scenario, 0.9) if scenario.seed else "ValueError: no such thing"


def all_of_them(scenario: Scenario) -> SimulationRecord:
    return record(scenario, 0.9)


def none_of_them(_: Scenario) -> None:
    return None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Let a grid end at once, most with one run done and one failed; note how it was called."""
    seen: list[dict[str, Any]] = []

    def instead(grid: str, out: Path, **options: Any) -> Comparison:  # noqa: ANN401 - any option
        seen.append({"grid": grid, "out": out, **options})
        if grid == "stop":
            options["progress"](None, 2)
            options["progress"](Outcome("a", "done"), 1)
            raise KeyboardInterrupt
        make = {"all": all_of_them, "none": none_of_them}.get(grid, half_of_them)
        tables = {"defense": ["mean"], "seed": [0, 1, 2, 3, 4] if grid == "none" else [0, 1]}
        found = results(tables, make)
        if grid == "killed":
            outcome = Outcome(found[0].run.id, "interrupted", "its process ended")
            found = (replace(found[0], outcome=outcome), found[1])
        return Comparison(tmp_path, found)

    monkeypatch.setattr("quickthorn.simulations.comparison.compare.compare", instead)
    return seen


def test_the_options_reach_the_function(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    run(
        *("quick", "--out", str(tmp_path), "--workers", "3", "--ray", "auto", "--retry-failed"),
        *("--set", "data_dir=a=b", "--set", "rounds = 4"),
    )
    (call,) = calls
    del call["progress"]
    assert call == {
        "grid": "quick",
        "out": tmp_path,
        "settings": {"data_dir": "a=b", "rounds": "4"},
        "workers": 3,
        "ray": "auto",
        "retry_failed": True,
        "run": True,
    }


def test_a_failed_run_is_named_and_makes_the_exit_code(
    calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    answer = run("quick", "--out", str(tmp_path))
    assert answer.exit_code == 1
    assert "2 runs: 1 done, 1 failed." in answer.stdout
    assert "report.html" in answer.stdout
    assert answer.stderr.splitlines() == [
        "1 failed: ValueError: no such thing",
        "  mean, attack none, split iid, attackers=0 byzantine=0 seed=0",
        "What failed fails again until its cause is mended; --retry-failed tries it again.",
    ]


def test_so_do_runs_that_were_not_run_of_which_the_first_are_named(
    calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    answer = run("none", "--out", str(tmp_path), "--no-run")
    assert answer.exit_code == 1
    assert answer.stderr.splitlines() == [
        "5 not run",
        *(f"  mean, attack none, split iid, attackers=0 byzantine=0 seed={n}" for n in range(3)),
        f"  and 2 more, see {tmp_path / 'results.csv'}",
        "What was not run is done by the same command without --no-run.",
    ]


def test_so_does_a_run_whose_process_ended(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    answer = run("killed", "--out", str(tmp_path))
    assert answer.exit_code == 1
    assert "1 interrupted: its process ended\n  mean, " in answer.stderr
    assert "is done again by the same command.\n" in answer.stderr
    answer = run("killed", "--out", str(tmp_path), "--no-run")
    assert "is done again by the same command without --no-run.\n" in answer.stderr


def test_when_all_runs_are_done_there_is_nothing_more_to_say(
    calls: list[dict[str, Any]], tmp_path: Path
) -> None:
    answer = run("all", "--out", str(tmp_path))
    assert (answer.exit_code, answer.stderr) == (0, "")


def test_json_is_one_object(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    answer = run("quick", "--out", str(tmp_path), "--json")
    told = json.loads(answer.stdout)
    assert answer.exit_code == 1
    assert "ValueError: no such thing" in answer.stderr
    assert {key: told[key] for key in ("runs", "done", "failed", "interrupted", "not_run")} == {
        "runs": 2,
        "done": 1,
        "failed": 1,
        "interrupted": 0,
        "not_run": 0,
    }
    assert list(told["errors"].values()) == ["ValueError: no such thing"]


def test_a_log_gets_plain_lines_and_an_interrupt_says_how_to_go_on(
    calls: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a CI does
    answer = run("stop", "--out", str(tmp_path))
    assert answer.exit_code == 130
    assert answer.stderr.splitlines() == [
        "0 of 2 runs done",
        f"quickthorn: interrupted; 1 of 2 runs done, in {tmp_path}. {GO_ON}",
    ]


@pytest.mark.parametrize("text", ["rounds", "=3"])
def test_a_setting_without_its_sign_is_refused(text: str, tmp_path: Path) -> None:
    answer = run("quick", "--out", str(tmp_path), "--set", text)
    assert isinstance(answer.exception, ConfigurationError)
    assert "--set takes key=value" in str(answer.exception)


def test_an_unknown_grid_is_refused_with_the_near_miss(tmp_path: Path) -> None:
    answer = run("quik", "--out", str(tmp_path / "out"))
    assert isinstance(answer.exception, UnknownNameError)
    assert "did you mean 'quick'" in str(answer.exception)
    assert not (tmp_path / "out").exists()
