"""The page that a person reads in a minute: one file, no network, whole without JavaScript."""

from __future__ import annotations

import json
from html import escape
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.comparison.answers import answers
from quickthorn.simulations.comparison.backdoors import OPEN
from quickthorn.simulations.comparison.breakdown import WITHIN, families
from quickthorn.simulations.comparison.charts import breakdown_chart
from quickthorn.simulations.comparison.colors import scale_start
from quickthorn.simulations.comparison.header import header
from quickthorn.simulations.comparison.matrices import matrices, views
from quickthorn.simulations.comparison.ranking import SAME
from quickthorn.simulations.comparison.summary import FEWEST_SEEDS, summarize
from quickthorn.simulations.comparison.tables import defense_table, failure_table, heat_map
from quickthorn.simulations.comparison.texts import interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.simulations.comparison.matrices import Measure
    from quickthorn.simulations.comparison.results import Result
    from quickthorn.simulations.comparison.summary import Summary


def report(results: Sequence[Result]) -> str:
    """Return ``report.html`` of a comparison.

    Parameters
    ----------
    results
        One per run of the grid, at least one.

    """
    summary = summarize(results)
    parts = [
        header(results),
        "<main>",
        answers(summary),
        _controls(summary),
        _section(summary, "accuracy"),
        _section(summary, "worst class"),
        _section(summary, "attack success"),
        _section(summary, "detection"),
        _defenses(summary),
        _failures(results),
        _meaning(summary),
        "</main>",
        _footer(results),
    ]
    return _PAGE.format(
        title="Comparison of defenses",
        css=_asset("page.css"),
        body="\n".join(parts),
        # A text of the grid must not end the script that holds it.
        curves=json.dumps(_curves(summary)).replace("<", "\\u003c"),
        js=_asset("page.js"),
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{css}</style>
</head>
<body>
{body}
<dialog id="dialog" aria-labelledby="dialog-title">
<form method="dialog"><button>Close</button></form>
<h3 id="dialog-title"></h3>
<div class="place"></div>
</dialog>
<script type="application/json" id="curves">{curves}</script>
<script>
{js}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _controls(summary: Summary) -> str:
    conditions = [
        (str(number), f"{item.attackers} of {item.clients}, assumed {item.byzantine}")
        for number, item in enumerate(summary.conditions)
    ]
    every = dict.fromkeys(view for item in summary.conditions for view in views(summary, item))
    choices = [
        _choices("condition", "hostile", conditions, start=len(conditions) - 1),
        _choices("view", "split", [(view, view) for view in every], start=0),
    ]
    return f'<div class="controls" hidden>{"".join(choices)}</div>' if any(choices) else ""


def _choices(name: str, legend: str, values: Sequence[tuple[str, str]], *, start: int) -> str:
    if len(values) == 1:
        return ""
    boxes = "".join(
        f'<label class="choice"><input type="radio" name="{name}" value="{escape(value)}"'
        f"{' checked' if number == start else ''}><span>{escape(text)}</span></label>"
        for number, (value, text) in enumerate(values)
    )
    return f"<fieldset><legend>{legend}</legend>{boxes}</fieldset>"


_TITLES: dict[Measure, str] = {
    "accuracy": "Accuracy under each attack",
    "worst class": "Does a class suffer more than the others?",
    "attack success": "Backdoors: attack success beside its floor",
    "detection": "Are the hostile clients found?",
}
_ON_DEMAND: tuple[Measure, ...] = ("worst class",)
_WORDS: dict[Measure, str] = {
    "accuracy": "At the end of training, in %, with the peak below: a peak that is much higher "
    "than the end means that the attack won late. Choose a cell for its curves.",
    "worst class": "Recall at the end of the class that is recognized least, in %, with the "
    "accuracy over all classes below. An attack on one class hardly shows in the accuracy.",
    "attack success": "Share of test samples of other classes that the trigger sends to the "
    "attacker's class, in %. The floor is the same trigger on a "
    "model that nobody attacked.",
    "detection": "Area under the ROC curve of the evidence that accumulated about each client: "
    "1 ranks every hostile client above every honest one, 0.5 is chance. Below "
    "it the false alarms: the share of honest clients, in %, under watch at the end, or left out.",
}


def _section(summary: Summary, measure: Measure) -> str:
    panels = [
        (found, number)
        for number, condition in enumerate(summary.conditions)
        for found in matrices(summary, condition, measure)
    ]
    if not any(found.columns for found, _ in panels):
        return ""
    title, words = _TITLES[measure], _WORDS[measure]
    low = scale_start(found for found, _ in panels)
    figures = "".join(
        f'<figure data-condition="{number}" data-view="{escape(found.view)}">'
        f"{heat_map(summary, found, low)}</figure>"
        for found, number in panels
    )
    if measure in _ON_DEMAND:
        figures = f"<details><summary>Show the heat map</summary>{figures}</details>"
    return f'<section><h2>{title}</h2><p class="soft">{words}</p>{figures}</section>'


def _defenses(summary: Summary) -> str:
    charts = "".join(
        breakdown_chart(summary, name, family)
        for name, family in families(summary).items()
        if len(family) > 1
    )
    tables = "".join(
        f'<figure data-condition="{number}">{defense_table(summary, condition)}</figure>'
        for number, condition in enumerate(summary.conditions)
    )
    words = (
        f"f* is the largest number of attackers in the grid up to which the worst case on each "
        f"split stays within {100 * WITHIN:.0f} points of the same defense on that split without "
        "an attack, and no backdoor gets in; beside it stands the next number in the grid. ≥: the "
        "grid ends before the defense does. Failed: the runs did, for instance as the defense "
        "refuses such a cohort."
    )
    charts = f'<div class="charts">{charts}</div>' if charts else ""
    return (
        "<section><h2>Breakdown, and what a defense costs</h2>"
        f'<p class="soft">{words}</p>{charts}{tables}</section>'
    )


def _failures(results: Sequence[Result]) -> str:
    if not any(result.status in {"failed", "interrupted"} for result in results):
        return ""
    return (
        '<section><h2 id="failures">Runs that failed</h2><p class="soft">They count in no figure. '
        "A failed run is done again with <code>--retry-failed</code>, one whose process ended "
        "by the same command. <code>results.csv</code> names each.</p>"
        f"{failure_table(results)}</section>"
    )


def _meaning(summary: Summary) -> str:
    reference = "mean" if "mean" in summary.defenses else "the best defense"
    items = {
        "Worst case": "the lowest mean over seeds among all attacks (and splits); ± is the "
        "two-sided 95 % t-interval over the seeds of that cell.",
        "Best of these": "in the place of Take where the first does not hold: an attack takes more "
        f"than {100 * WITHIN:.0f} points from it on a split, or a backdoor gets in.",
        "Not ranked": "a run of the defense failed or is missing, with an attack or without, or "
        "the grid runs it under fewer attacks or on fewer splits than others: its worst case is "
        "not known.",
        "Mean over splits": "for each seed the mean over the splits; ± is over these means.",
        "Tied": "the 95 % t-interval of the difference to the first, seed by seed, holds zero; "
        f"with fewer than {FEWEST_SEEDS} seeds, the means differ by less than "
        f"{100 * SAME:.0f} point.",
        "Backdoors": f"one is in where it succeeds by more than {100 * OPEN:.0f} points above its "
        "floor; a defense that lets one in stands behind all that do not.",
        "Hostile and assumed": "how many clients attack, and how many the defense was told to "
        "expect; they are separate in the grid, and marked where they differ.",
        "Lost without attack": f"the accuracy of {reference} less that of the defense, neither "
        "with attackers.",
        "Cost": "median over the runs, with an attack and without, of admission, aggregation and "
        "scoring in a round, with the server's own training where a defense asks for it.",
    }
    terms = "".join(f"<dt><b>{name}</b></dt><dd>{words}</dd>" for name, words in items.items())
    return (
        "<section><details><summary>What the figures mean</summary>"
        f"<dl>{terms}</dl></details></section>"
    )


def _footer(results: Sequence[Result]) -> str:
    return (
        f'<footer class="soft">Quickthorn {escape(version("quickthorn"))}. Each run is in '
        "<code>runs/</code>, all of them are rows of <code>results.csv</code> and "
        "<code>results.parquet</code>, and <code>figures/</code> holds the figures as PNG and "
        "PDF. The first row of <code>results.csv</code> is the run "
        f"<code>{results[0].run.id}</code>.</footer>"
    )


def _curves(summary: Summary) -> dict[str, list[dict[str, Any]]]:
    """Return, per cell, the accuracy over the rounds of each split and seed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for c, condition in enumerate(summary.conditions):
        for d, defense in enumerate(summary.defenses):
            for a, attack in enumerate(summary.attacks):
                lines = []
                for split in summary.splits:
                    cell = summary.cell(condition, split, defense, attack)
                    seeds = [
                        [[item.round, round(item.accuracy, 4)] for item in record.evaluations]
                        for record in (cell.by_seed.values() if cell else ())
                    ]
                    final = cell.of("final") if cell else None
                    if final is not None:
                        lines.append({"split": split, "final": interval(final), "seeds": seeds})
                if lines:
                    found[f"{c}-{d}-{a}"] = lines
    return found
