"""``quickthorn evaluate-detection``: what is counted, what is aimed at, and the page of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from quickthorn.simulations import Scenario, SimulationRecord
from quickthorn.simulations.comparison.folder import Outcome
from quickthorn.simulations.comparison.plan import plan, read_grid
from quickthorn.simulations.detection.aims import LOUD, STEALTHY, aims
from quickthorn.simulations.detection.evaluate import Line, measure, reseeded
from quickthorn.simulations.detection.page import page
from quickthorn.simulations.detection_cli import evaluate_detection
from quickthorn.simulations.record import Evaluation, Trail
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.reputation import Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

COMMAND = typer.Typer()
COMMAND.command()(evaluate_detection)

TINY = """
[scenario]
dataset = "breast_cancer"
clients = 7
rounds = 5
lr = 0.3

[[grid]]
defense = ["trimmed_mean"]
byzantine = 2
attackers = [2]
attack = ["none", "not_finite"]
split = ["iid", { partition = "iid", quarantine = true }]
seed = [100, 101]
"""


def change(client: int, number: int, before: str, after: str) -> Change:
    return Change(f"client-{client}", number, before, after, "quickthorn", "why")


def record(
    changes: tuple[Change, ...] = (),
    strengths: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0),
    final: float = 0.5,
    success: float | None = None,
    **keys: Any,  # noqa: ANN401 - any key of a scenario
) -> SimulationRecord:
    """Return a record of four clients, of whom the last two attack."""
    told = {"clients": 4, "attackers": 2, "attack": "sign_flip", "rounds": 20, **keys}
    scenario = Scenario.from_table(told)
    trails = {
        client: Trail("healthy", {5: 0.0, 20: 0.0}, {5: strength, 20: -strength})
        for client, strength in zip(scenario.client_ids, strengths, strict=True)
    }
    return SimulationRecord(
        scenario,
        (Evaluation(20, final, (final,), success),),
        attack_success_floor=None if success is None else 0.1,
        hostile=scenario.hostile,
        trails=trails,
        changes=changes,
    )


def test_a_line_counts_attackers_found_and_honest_clients_wronged() -> None:
    first = (
        change(0, 4, "watch", "quarantined"),
        change(0, 9, "quarantined", "watch"),
        change(0, 12, "watch", "quarantined"),
        change(2, 3, "watch", "quarantined"),
        change(2, 23, "quarantined", "quarantined"),
    )
    second = (change(2, 2, "watch", "quarantined"), change(3, 7, "watch", "quarantined"))
    (line,) = measure(
        [
            record(first, quarantine=True, final=0.8, success=0.2, seed=1),
            record(final=0.4, success=0.9, seed=1),
            record(second, quarantine=True, final=0.6, success=0.4, seed=2),
        ]
    )
    assert (line.attack, line.split, line.defense) == ("sign_flip", "IID", "mean")
    assert (line.seeds, line.rounds, line.auc) == (2, 20, {5: 1.0, 20: 0.0})
    assert line.found == (3, None, 2, 7)
    assert line.rounds_to_find == 5.0
    assert (line.found_by(3), line.found_by(7)) == (0.5, 0.75)
    assert (line.wrongly, line.honest, line.alarms, line.honest_rounds) == (1, 4, 2, 80)
    assert line.alarms_per_100 == 2.5
    assert (line.accuracy, line.accuracy_observed) == (0.7, 0.4)
    assert line.success == pytest.approx(0.3)
    assert (line.success_observed, line.floor) == (0.9, 0.1)


def test_attackers_of_whom_half_are_never_found_are_found_in_no_round() -> None:
    (line,) = measure([record((change(2, 3, "watch", "quarantined"),), quarantine=True)])
    assert line.rounds_to_find is None


def test_what_differs_is_a_line_of_its_own_and_without_quarantine_there_is_none() -> None:
    keys: list[dict[str, Any]] = [
        {"attack": "alie"},
        {"partition": "dirichlet", "alpha": 0.1},
        {"defense": "median"},
        {"rounds": 60},
        {"attackers": 1},
    ]
    lines = measure(record(quarantine=True, **more) for more in ({}, *keys))
    assert len(lines) == 6
    assert [line.split for line in lines] == ["IID", "IID", "Dirichlet 0.1", *["IID"] * 3]
    assert [line.attackers for line in lines] == [2, 2, 2, 2, 2, 1]
    assert measure([record()]) == []


def line(attack: str, **changes: Any) -> Line:  # noqa: ANN401 - any field of a line
    values: dict[str, Any] = {
        "attack": attack,
        "attackers": 2,
        "split": "IID",
        "defense": "median",
        "seeds": 1,
        "rounds": 20,
        "auc": {5: 1.0, 20: 1.0},
        "found": (3, 4),
        "wrongly": 0,
        "honest": 2,
        "alarms": 0,
        "honest_rounds": 40,
        "accuracy": 0.9,
        "accuracy_observed": 0.8,
        "success": None,
        "success_observed": None,
        "floor": None,
    }
    return Line(**{**values, **changes})


HONEST = {"split": "Dirichlet 0.1", "auc": {}, "found": ()}


def test_aims_are_reached_where_every_line_reaches_them() -> None:
    lines = [line(attack) for attack in (*LOUD, *STEALTHY)]
    found = aims([*lines, line("none", honest_rounds=10_000, alarms=1, **HONEST)])
    assert [(aim.reached, len(aim.checks)) for aim in found] == [
        (True, 5),
        (True, 5),
        (True, 3),
        (True, 1),
    ]


@pytest.mark.parametrize(
    ("missing", "which"),
    [
        (line("gaussian", auc={5: 0.98, 20: 1.0}, split="Dirichlet 0.1"), 0),
        (line("gaussian", found=(3, 6)), 1),
        (line("not_finite", found=(3, None)), 1),
        (line("alie", auc={5: 1.0, 20: 0.94}), 2),
        (line("none", honest_rounds=10_000, alarms=2, **HONEST), 3),
    ],
    ids=str,
)
def test_an_aim_is_missed_by_a_single_line(missing: Line, which: int) -> None:
    passed = [line("sign_flip"), line("min_max"), line("none", rounds=5, **HONEST)]
    found = aims([*passed, missing])
    assert [check.line for check in found[which].missed] == [missing]
    assert all(not aim.missed for number, aim in enumerate(found) if number != which)


def test_a_lone_liar_is_no_part_of_the_aims() -> None:
    lone = line("sign_flip", attackers=1, auc={5: 0.5}, found=(None,))
    assert aims([line("gaussian"), lone]) == aims([line("gaussian")])


def test_an_aim_that_nothing_is_measured_on_is_not_reached() -> None:
    assert not any(aim.reached for aim in aims([line("mimic")]))


def test_the_page_says_what_is_missed_and_where() -> None:
    lines = [
        line("none", **HONEST),
        line("sign_flip", wrongly=1),
        line("gaussian", auc={5: 0.5}, found=(3, None)),
        line("alie", attackers=1, accuracy_observed=0.95),
        line("patch_backdoor", floor=0.1, success=0.2, success_observed=0.7),
        line("sign_flip", defense="mean", wrongly=1, auc={5: 0.9}),
        line("sign_flip", defense="krum"),
    ]
    text = page(lines, [Scenario(attackers=2, seed=7)], grid="detection")
    assert "| ✗ 1 of 2 | `gaussian`: IID 0.5 |" in text
    assert "| `gaussian` | 0.50 | – | 1 of 2 | – | 0 of 2 | 0 | 80.0 → 90.0 |  |" in text
    assert (
        "| `patch_backdoor` | 1.00 | 1.00 | 2 of 2 | 3.5 | 0 of 2 | 0 | 80.0 → 90.0 | 10.0" in text
    )
    assert "10.0 · 70.0 → 20.0 |" in text
    assert "| none, 1 × 20 rounds | – | – | – | – | 0 of 2 | 0 |" in text
    assert "| `sign_flip` | 0.90, –; 2 of 2; 1 | 1.00, 1.00; 2 of 2; 0 |" in text
    assert "| ✗ 1 of 2 | `sign_flip`: `mean` IID 0.9 |" in text
    assert "| not measured |" in text
    assert "Generated by `quickthorn evaluate-detection`; do not edit." in text
    assert "| `alie`, alone | 1.00 |" in text
    assert "## Why not\n\n- `sign_flip`: with unequal data" in text
    assert "- Honest clients were quarantined: `sign_flip` IID 1 of 2. " in text
    assert "than 2 points where the attackers are left out: `alie`, alone IID by 5.0" in text


def test_a_page_without_harm_says_so() -> None:
    text = page([line("sign_flip")], [Scenario(attackers=2)], grid="my.toml")
    assert "Nothing: no honest client was quarantined, and no accuracy lost." in text
    assert "## Why not\n\nNot examined yet.\n" in text  # two aims have nothing to be checked on


def run(*arguments: str) -> Result:
    return CliRunner().invoke(COMMAND, arguments)


def test_the_command_writes_the_page_and_goes_on_where_it_was(tmp_path: Path) -> None:
    grid, runs, out = tmp_path / "grid.toml", tmp_path / "runs", tmp_path / "page.md"
    grid.write_text(TINY, encoding="utf-8")
    first = run("--grid", str(grid), "--runs", str(runs), "--workers", "1", "--out", str(out))
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr.startswith("0 of 8 runs done\n")
    told = out.read_text(encoding="utf-8")
    assert "| `not_finite` | 1.00 | – | 4 of 4 |" in told
    assert "| none, 2 × 5 rounds | – | – | – | – | 0 of 14 |" in told
    assert f"`quickthorn evaluate-detection --grid {grid} --out {out}`" in told
    assert f"grid `{grid}`" in " ".join(told.split())

    again = run("--grid", str(grid), "--runs", str(runs), "--seeds", "100", "--json")
    assert again.stderr == ""  # nothing was left to do
    found = json.loads(again.stdout)
    lines = found["lines"]
    assert [(told["attack"], told["seeds"]) for told in lines] == [("none", 1), ("not_finite", 1)]
    assert (lines[1]["auc"], lines[1]["alarms_per_100"]) == ({"5": 1.0}, 0.0)
    assert [aim["checks"] for aim in found["aims"]] == [1, 1, 0, 0]
    assert (found["aims"][0]["reached"], found["aims"][2]["reached"]) == (True, False)


def test_no_page_is_made_of_some_of_the_runs(tmp_path: Path) -> None:
    grid, out = tmp_path / "grid.toml", tmp_path / "page.md"
    grid.write_text(TINY.replace("byzantine = 2", "byzantine = 4"), encoding="utf-8")
    answer = run("--grid", str(grid), "--out", str(out), "--workers", "1")
    assert answer.exit_code == 1
    assert "quickthorn: a run failed: TooFewClientsError" in answer.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--runs", "kept"), "1 of 2 runs done, in kept.\n"),
        ((), "1 of 2 runs done; --runs DIR would keep them.\n"),
    ],
)
def test_an_interrupt_says_what_is_done_and_where(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    def stop(
        *_: object, progress: Callable[[Outcome | None, int], None], **_options: object
    ) -> None:
        progress(Outcome("a", "done"), 1)
        raise KeyboardInterrupt

    monkeypatch.setattr("quickthorn.simulations.detection.evaluate.run_grid", stop)
    answer = run(*options)
    assert (answer.exit_code, answer.stderr) == (130, f"quickthorn: interrupted; {words}")


def test_a_grid_without_quarantine_is_refused_before_anything_runs(tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(TINY.replace("quarantine = true", "alpha = 0.1"), encoding="utf-8")
    answer = run("--grid", str(grid))
    assert "no run of the grid has quarantine = true" in str(answer.exception)


def test_seeds_that_are_no_numbers_are_refused() -> None:
    answer = run("--seeds", "1,x")
    assert isinstance(answer.exception, ConfigurationError)
    assert "--seeds must be integers, by commas; got '1,x'." in str(answer.exception)


def test_the_shipped_grid_has_other_seeds_than_the_thresholds_were_set_on() -> None:
    tables = read_grid("detection")
    scenarios = [run.scenario for run in plan(tables)]
    assert min(scenario.seed for scenario in scenarios) >= 400  # looked at: 0 to 4, 100 and 101
    assert {"none", *LOUD, *STEALTHY} <= {scenario.attack for scenario in scenarios}
    assert {run.scenario.seed for run in plan(reseeded(tables, [3]))} == {3}
