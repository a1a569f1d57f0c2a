"""The benchmark measures what it says, on cohorts that are small enough for a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from quickthorn.simulations import bench as benchmark
from quickthorn.simulations.bench import Line
from quickthorn.simulations.bench_report import aims, as_text
from quickthorn.simulations.cli import bench
from quickthorn.simulations.contestants import EXPRESSIONS, as_replies, flowers, run_flower
from quickthorn.simulations.memory import growth
from quickthorn.simulations.subjects import all_rules, read_rules, subject
from quickthorn.strategies import available, build
from quickthorn.strategies.errors import ConfigurationError, RunError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

APP = typer.Typer()
APP.command()(bench)

VALUES = np.random.default_rng(2).normal(size=(12, 40)).astype(np.float32)


def run(*options: str) -> Any:  # noqa: ANN401 - typer's result
    return CliRunner().invoke(APP, options, catch_exceptions=False)


def test_every_rule_and_scorer_is_timed_beside_its_alternatives() -> None:
    result = run("--clients", "7", "--sizes", "3000", "--repetitions", "1", "--json")

    found = json.loads(result.stdout)
    lines = {line["rule"]: line for line in found["lines"]}
    named = available()
    alone = {*named["scorer"]} - {"held_loss", "held_recall"}  # those take what the server measured
    assert lines.keys() >= {*named["aggregator"], *alone, "nnm | trimmed_mean"}
    assert lines.keys() >= {"all scorers", "krum & all scorers"}
    assert lines.keys().isdisjoint({"held_loss", "held_recall"})
    for rule, line in lines.items():
        assert (line["clients"], line["size"]) == (7, 3000)
        assert line["byzantine"] == (0 if rule == "bucketing | krum" else 1)
        assert line["seconds"] > 0, rule
        assert line["read_seconds"] > 0
        assert line["extra_bytes"] >= 0
        assert (line["flower_seconds"] is None) == (flowers(rule, 7, 1) is None)
        assert (line["numpy_seconds"] is None) == (rule not in EXPRESSIONS)
        assert line["left_out"] == []
    assert "cores" in found["machine"]
    assert "n=7 d=3000 krum: 0." in result.stderr


def test_the_table_is_markdown_with_one_row_per_rule_and_cohort() -> None:
    options = ("--clients", "5,6", "--sizes", "500", "--repetitions", "1", "--rules", "krum,norm")
    table = run(*options).stdout.splitlines()

    rows = [line for line in table if line.startswith("| `")]
    assert [row.split("|")[1].strip() for row in rows] == ["`krum`", "`norm`"] * 2
    assert len({len(row) for row in rows}) == 1
    assert table[0].split("|")[1].strip() == "rule"


@pytest.mark.parametrize("nonsense", ["ten", "4", "10,-3"])
def test_cohorts_that_cannot_be_measured_are_refused(nonsense: str) -> None:
    with pytest.raises(ConfigurationError, match="--clients must be integers of at least 5"):
        run("--clients", nonsense)


def test_rules_are_chosen_by_name() -> None:
    text = "norm, weighted_mean(cap=2.0),nnm|median, all scorers,nnm|median & all scorers"
    assert read_rules(text) == (
        "norm",
        "weighted_mean(cap=2.0)",
        "nnm | median",
        "all scorers",
        "nnm | median & all scorers",
    )
    with pytest.raises(UnknownNameError, match="unknown rule 'medain'; did you mean 'median'"):
        run("--rules", "medain")


@pytest.mark.parametrize("rule", ["mean", "weighted_mean", "median", "trimmed_mean"])
def test_flower_gets_the_same_updates(rule: str) -> None:
    strategy = flowers(rule, len(VALUES), 2)
    assert strategy is not None
    arrays = run_flower(strategy, as_replies(VALUES))
    assert arrays is not None
    expected = build(rule, byzantine=2).aggregate(VALUES, weights=np.ones(len(VALUES))).vector
    np.testing.assert_allclose(arrays["w"].numpy(), expected, rtol=1e-5, atol=1e-6)


AGGREGATING = {*EXPRESSIONS, "bulyan"} & {*available()["aggregator"]} - {
    "krum", "multi_krum", "geometric_median", "caf", "mda", "smea",
}  # fmt: skip


@pytest.mark.parametrize("rule", sorted(AGGREGATING))
def test_what_a_user_would_write_computes_the_same(rule: str) -> None:
    expected = build(rule, byzantine=2).aggregate(VALUES, weights=np.ones(len(VALUES))).vector
    for expression in EXPRESSIONS[rule].values():
        np.testing.assert_allclose(expression(VALUES, 2), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", all_rules())
def test_a_subject_runs_with_whatever_it_asks_for(rule: str) -> None:
    assert subject(rule, 1)(VALUES) is not None


def test_who_would_take_too_long_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(benchmark, "_PART_ELEMENTS", 50)
    monkeypatch.setattr(benchmark, "_LIMIT_SECONDS", 0.0)
    (line,) = benchmark.measure([5], [6400], 1, ["median"])
    assert (line.seconds, line.flower_seconds) == (None, None)
    assert [reason.partition(":")[0] for reason in line.left_out] == [
        "our median", "Flower's median", "numpy's median",
    ]  # fmt: skip
    assert "would take about 0 minutes" in as_text([line])


def test_who_would_take_too_much_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_PART_ELEMENTS", 50)
    monkeypatch.setattr(benchmark, "available", lambda: 1)
    (line,) = benchmark.measure([5], [64_000], 1, ["median"])
    assert line.flower_seconds is None
    assert any("would take about 0 GB more, 0 GB are free" in reason for reason in line.left_out)


def test_a_rule_that_refuses_the_cohort_is_left_out() -> None:
    lines = list(benchmark.measure([40], [10], 1, ["smea", "mda"]))
    assert [line.seconds for line in lines] == [None, None]
    assert "at most 50000" in lines[0].left_out[0]
    assert lines[1].left_out == ("mda is not for so many clients",)


def test_the_figures_aimed_at_are_judged() -> None:
    lines = [
        Line("median", 100, 10, 20, 1.0, 0.5, 21.0, 3.0, 0),
        Line("median", 100, 1000, 20, 1.0, 0.5, 19.0, 3.0, 0),
        Line("geometric_median", 10, 10, 2, 3.0, 0.5, None, 1.0, 0),
        Line("trimmed_mean", 10, 10, 2, 2.0, 0.5, 1.0, 1.0, 0),
        Line("nnm | trimmed_mean", 10, 10, 2, 7.0, 0.5, None, None, 0),
        Line("krum", 10, 10, 2, 3.0, 0.5, None, 2.0, 0),
    ]
    assert aims(lines) == [
        (
            "median, trimmed_mean at n=100: at least 20 × as fast as Flower's: 19.0 to 21.0, "
            "not reached by median n=100 d=1,000: 19.0"
        ),
        "krum, multi_krum: within 1.5 × one float32 product: 1.5 to 1.5, reached",
        "geometric_median: within 8 × one read: 6.0 to 6.0, reached",
        (
            "nnm | trimmed_mean: within 3 × trimmed_mean alone: 3.5 to 3.5, "
            "not reached by nnm | trimmed_mean n=10 d=10: 3.5"
        ),
    ]


def test_growth_sees_what_is_allocated_and_given_back() -> None:
    size = 64 << 20

    def allocate() -> None:
        np.ones(size, np.uint8)

    assert growth(allocate) == pytest.approx(size, rel=0.1)
    assert growth(lambda: None) < size / 10


def test_a_mapped_file_is_filled_and_read_and_removed(tmp_path: Path) -> None:
    options = ("--mapped", "--clients", "7", "--sizes", "5000", "--folder", str(tmp_path))
    table = run(*options, "--rules", "median,norm").stdout.splitlines()

    rows = [line.split("|")[1].strip() for line in table if line.startswith("| `")]
    assert rows == ["`(filling)`", "`median`", "`norm`"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RunError, match="bytes free, the file needs"):
        run("--mapped", "--sizes", str(10**15), "--folder", str(tmp_path))
