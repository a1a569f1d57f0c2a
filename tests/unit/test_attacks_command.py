"""``quickthorn attacks`` and the page that is generated from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from quickthorn.simulations.attacks.cli import attacks, reference_page
from quickthorn.simulations.attacks.registry import available_attacks, find_attack
from quickthorn.strategies.errors import UnknownNameError

APP = typer.Typer()
APP.command()(attacks)
ALL = [(kind, name) for kind, names in available_attacks().items() for name in names]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(APP, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return result.stdout


def test_the_table_names_every_attack_and_what_it_knows() -> None:
    lines = run().splitlines()
    for _, name in ALL:
        line = next(line for line in lines if line.split()[:1] == [name])
        assert line.rstrip().endswith(find_attack(name).knows)


@pytest.mark.parametrize("name", [name for _, name in ALL])
def test_a_name_shows_the_whole_attack(name: str) -> None:
    spec = find_attack(name)
    text = run(name)
    for part in (spec.summary, spec.knows, spec.reference, *spec.parameters):
        assert part in text


def test_parameters_show_their_type_and_default() -> None:
    assert "z: a number or nothing = unset" in run("alie")
    assert "bound: a number or 'honest' or 'own' = honest" in run("constrain_and_scale")
    assert "Parameters in a text form: none" in run("zero")


def test_what_an_attack_knows_is_told_by_the_parameter_that_decides_it() -> None:
    told = "all honest updates with radius=median, else own data alone"
    assert told in run("norm_projected_backdoor")
    assert "Knows:           all honest updates\n" in run("alie")


def test_json_is_one_object_and_nothing_else() -> None:
    listed = json.loads(run("--json"))["attacks"]
    assert [(attack["kind"], attack["name"]) for attack in listed] == ALL
    (ipm,) = json.loads(run("ipm", "--json"))["attacks"]
    assert ipm["parameters"] == [
        {"name": "epsilon", "type": "a number", "required": False, "default": 0.1}
    ]
    assert (ipm["knows"], ipm["slow"]) == ("all honest updates", False)


def test_an_unknown_name_names_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match="unknown attack 'mimick'; did you mean 'mimic'"):
        attacks("mimick")


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "attacks.md"
    remedy = "run: python -m quickthorn.simulations.attacks.cli > docs/reference/attacks.md"
    assert page.read_text("utf-8") == reference_page(), remedy
