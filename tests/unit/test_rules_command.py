"""``quickthorn rules`` and the page that is generated from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from quickthorn.strategies import available, find
from quickthorn.strategies.cli import reference_page, rules
from quickthorn.strategies.errors import UnknownNameError

if TYPE_CHECKING:
    from quickthorn.strategies.registry import Kind

APP = typer.Typer()
APP.command()(rules)
ALL = [(kind, name) for kind, names in available().items() for name in names]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(APP, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return result.stdout


def test_the_table_names_every_rule_with_its_figures() -> None:
    lines = run().splitlines()
    for kind, name in ALL:
        spec = find(kind, name)
        cells = next(line.split() for line in lines if line.split()[:1] == [name])
        assert cells[-3:] == [str(spec.min_clients(f)) for f in (1, 2, 5)]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_name_shows_the_whole_rule(kind: Kind, name: str) -> None:
    spec = find(kind, name)
    text = run(name)
    for part in (spec.summary, spec.complexity, spec.reference, *spec.parameters, *spec.traits):
        assert part in text
    assert f"{spec.min_clients(5)} (f=5)" in text


def test_parameters_show_their_type_and_default() -> None:
    assert "radius: a number or 'median' = median" in run("clip")
    assert "select: an integer or nothing = unset" in run("multi_krum")
    assert "8.53 for n=10, f=2" in run("krum")


def test_json_is_one_object_and_nothing_else() -> None:
    listed = json.loads(run("--json"))["rules"]
    assert [(rule["kind"], rule["name"]) for rule in listed] == ALL
    (clip,) = json.loads(run("clip", "--json"))["rules"]
    assert clip["parameters"] == [
        {
            "name": "radius",
            "type": "a number or 'median'",
            "required": False,
            "default": "median",
        }
    ]
    assert clip["min_clients"]["5"] == 11


def test_an_unknown_name_names_the_near_miss() -> None:
    with pytest.raises(UnknownNameError, match="unknown rule 'krumm'; did you mean 'krum'"):
        rules("krumm")


def test_the_reference_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "rules.md"
    remedy = "run: python -m quickthorn.strategies.cli > docs/reference/rules.md"
    assert page.read_text("utf-8") == reference_page(), remedy


@pytest.mark.parametrize("heavy", ["torch", "flwr", "grpc", "sklearn", "rich", "typer", "numba"])
def test_importing_the_core_loads_nothing_heavy(heavy: str) -> None:
    code = (
        "import sys; from quickthorn.strategies import build\n"
        "build('clip | nnm | krum', byzantine=1)\n"
        f"sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
