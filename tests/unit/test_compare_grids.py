"""What is said of the shipped grids, in their heads, in the help and in the docs, is true."""

from __future__ import annotations

import itertools
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from quickthorn.server.cli import help_text
from quickthorn.simulations.compare_cli import compare
from quickthorn.simulations.comparison.plan import read_grid, scenarios, shipped_grids

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "compare-defenses.md"
# Name, runs and time, as a row of the page's table has them.
ROWS = re.findall(
    r"^\| `(\w+)` \| .* \| (\d+) \| ([\w ]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE
)


def count(tables: dict[str, Any]) -> int:
    return len({scenario for _, scenario in scenarios(tables, {"data_dir": "elsewhere"})})


def head(name: str) -> str:
    """Return the comment at the top of a grid file as one line."""
    place = resources.files("quickthorn.simulations.comparison") / "grids" / f"{name}.toml"
    lines = place.read_text("utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return " ".join(line.removeprefix("#").strip() for line in comment)


def test_the_page_names_every_grid() -> None:
    assert tuple(sorted(name for name, _, _ in ROWS)) == shipped_grids()


@pytest.mark.parametrize(("name", "runs", "time"), ROWS, ids=[name for name, _, _ in ROWS])
def test_runs_and_time_are_the_same_everywhere_and_the_runs_are_counted(
    name: str, runs: str, time: str
) -> None:
    assert int(runs) == count(dict(read_grid(name)))
    assert f"{runs} runs, {time} on two" in head(name)
    (line,) = (line for line in help_text(compare).splitlines() if line.startswith(f"{name}: "))
    assert f"; {runs} runs, {time}" in line


def test_the_first_grid_that_one_tries_is_told_the_same_at_first_sight() -> None:
    runs, time = next(row[1:] for row in ROWS if row[0] == "quick")
    for page in (PAGE, ROOT / "README.md"):
        assert f"{runs} runs, {time} on two idle cores" in " ".join(page.read_text("utf-8").split())


def test_half_of_table_b_are_the_rows_that_the_text_speaks_of() -> None:
    tables = read_grid("table_b")
    first = count({**tables, "grid": tables["grid"][:2]})
    assert 2 * first == count(dict(tables))
