"""The benchmark measures what it says, on a cohort that is small enough for a test."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from quickthorn.simulations.cli import bench
from quickthorn.strategies.errors import ConfigurationError

APP = typer.Typer()
APP.command()(bench)


def run(*options: str) -> Any:  # noqa: ANN401 - typer's result
    return CliRunner().invoke(APP, options, catch_exceptions=False)


def test_every_rule_is_timed_beside_its_alternatives() -> None:
    result = run("--clients", "5", "--sizes", "3000", "--repetitions", "1", "--json")

    found = json.loads(result.stdout)
    lines = {line["rule"]: line for line in found["lines"]}
    assert {"mean", "median", "trimmed_mean", "krum", "multi_krum"} <= lines.keys()
    for rule, line in lines.items():
        assert (line["clients"], line["size"]) == (5, 3000)
        assert line["seconds"] > 0
        assert line["read_seconds"] > 0
        assert line["extra_bytes"] >= 3000 * 4
        alone = "|" in rule
        assert (line["flower_seconds"] is None) == alone
        assert (line["numpy_seconds"] is None) == alone
    assert "threads" in found["machine"]


def test_the_table_is_markdown_with_one_row_per_rule_and_cohort() -> None:
    table = run("--clients", "5,6", "--sizes", "500", "--repetitions", "1").stdout.splitlines()

    rows = [line for line in table if line.startswith("| `")]
    assert len(rows) % 2 == 0
    assert sum("`krum`" in row for row in rows) == 2
    assert len({len(row) for row in rows}) == 1
    assert table[0].split("|")[1].strip() == "rule"


@pytest.mark.parametrize("nonsense", ["", "ten", "4", "10,-3"])
def test_cohorts_that_cannot_be_measured_are_refused(nonsense: str) -> None:
    with pytest.raises(ConfigurationError, match="--clients must be integers of at least 5"):
        run("--clients", nonsense)
