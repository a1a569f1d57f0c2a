"""The figures for a paper: PNG and PDF, one question each, drawn without a display."""

from __future__ import annotations

import io
import itertools
import re
from statistics import fmean
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from quickthorn.simulations.comparison.breakdown import families, worst_by_attackers
from quickthorn.simulations.comparison.colors import SCALE, scale_start, shade
from quickthorn.simulations.comparison.folder import write_whole
from quickthorn.simulations.comparison.matrices import MEAN, WORST, matrices
from quickthorn.simulations.comparison.questions import cost, loss, reference
from quickthorn.simulations.comparison.texts import (
    condition_name,
    count,
    interval,
    on_splits,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from quickthorn.simulations.comparison.matrices import Entry, Matrix, Measure
    from quickthorn.simulations.comparison.summary import Condition, Summary

# Okabe and Ito's colors, told apart by all; a line also has its own marker.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX*"  # eight for seven colors: 56 different lines
_DOTS_PER_INCH = 150
# Where a legend hides no point.
_BESIDE: Mapping[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.02, 1.0), "fontsize": 7}
_LONGEST = 40  # characters of a split in the name of a file
_LABELS: Mapping[Measure, str] = {
    "accuracy": "accuracy at the end, %",
    "worst class": "recall of the class recognized least, % (of all classes below)",
    "attack success": "attack success, % (floor below)",
    "detection": "detection: area under the ROC curve",
}
# Of these, one view is drawn where there are several, for each picture takes a second.
_ALONE: Mapping[Measure, str] = {"worst class": WORST, "detection": MEAN}


def write_figures(summary: Summary, folder: Path) -> None:
    """Write every figure into ``folder``, as PNG and as PDF; others there are left alone."""
    folder.mkdir(exist_ok=True)
    with mpl.rc_context({"text.parse_math": False}):  # a split may be called anything
        for name, figure in figures(summary):
            FigureCanvasAgg(figure)
            for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
                buffer = io.BytesIO()
                figure.savefig(
                    buffer, format=kind, dpi=_DOTS_PER_INCH, bbox_inches="tight", metadata=metadata
                )
                write_whole(folder / f"{name}.{kind}", buffer.getvalue())


def figures(summary: Summary) -> Iterator[tuple[str, Figure]]:
    """Give every figure with its name."""
    for condition in summary.conditions:
        ending = f"f{condition.attackers}-assumed{condition.byzantine}-n{condition.clients}"
        for measure in _LABELS:
            every = [one for one in matrices(summary, condition, measure) if one.columns]
            for found in every:
                if len(every) == 1 or _ALONE.get(measure, found.view) == found.view:
                    name = f"{measure}-{_view_name(summary, found.view)}-{ending}"
                    yield _file_name(name), _heat_map(found)
        yield f"curves-{ending}", _curves(summary, condition)
        yield f"cost-and-loss-{ending}", _cost(summary, condition)
    for name, family in families(summary).items():
        if len(family) > 1 and any(
            worst_by_attackers(summary, family, defense) for defense in summary.defenses
        ):
            yield _file_name(f"breakdown-{name}"), _breakdown(summary, name, family)


def _view_name(summary: Summary, view: str) -> str:
    """Return a view as a part of a file's name; the number tells apart what reads alike there."""
    if view not in summary.splits or len(summary.splits) == 1:
        return view[:_LONGEST]
    return f"split{summary.splits.index(view) + 1}-{view[:_LONGEST]}"


def _file_name(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")


def _heat_map(found: Matrix) -> Figure:
    rows, columns = found.rows, found.columns
    figure = Figure(figsize=(2.4 + 0.95 * len(columns), 1.3 + 0.58 * len(rows)))
    axes = figure.subplots()
    values = [[_mean(found.entries[row, column]) for column in columns] for row in rows]
    low = scale_start([found])
    colors = SCALE if found.low_is_bad else f"{SCALE}_r"
    image = axes.imshow(values, cmap=colors, aspect="auto", vmin=low, vmax=1.0)
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.spines[:].set_visible(False)
    for (y, row), (x, column) in itertools.product(enumerate(rows), enumerate(columns)):
        entry = found.entries[row, column]
        letters = "#000"
        if entry.value is not None:
            letters = shade(values[y][x], low, low_is_bad=found.low_is_bad)[1]
        text = _cell_text(found, entry)
        axes.text(x, y, text, ha="center", va="center", fontsize=7, color=letters)
    in_cells = None if found.measure == "detection" else PercentFormatter(1.0, symbol="")
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, format=in_cells)
    bar.ax.tick_params(labelsize=7)
    title = f"{_LABELS[found.measure]}: {found.view}\n{condition_name(found.condition)}"
    axes.set_title(title, fontsize=9, loc="left")
    return figure


def _mean(entry: Entry) -> float:
    return float("nan") if entry.value is None else entry.value.value.mean


def _cell_text(found: Matrix, entry: Entry) -> str:
    if entry.value is None:
        return entry.lacks or "–"
    value, beside = entry.value.value, ""
    if found.measure == "detection":
        first = f"{value.mean:.2f}"
    else:
        first = interval(value)
        beside = f"{found.beside} {percent(entry.beside.value.mean)}" if entry.beside else ""
    return "\n".join(line for line in (first, beside, entry.split, entry.lacks) if line)


def _curves(summary: Summary, condition: Condition) -> Figure:
    """Draw accuracy against the round, a panel per attack and a line per defense."""
    across = min(3, len(summary.attacks))
    down = -(-len(summary.attacks) // across)
    figure = Figure(figsize=(2.9 * across, 2.3 * down))
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flat
    for panel, attack in itertools.zip_longest(panels, summary.attacks):
        if attack is None:
            panel.set_visible(False)
            continue
        for number, defense in enumerate(summary.defenses):
            curve = mean_curve(summary, condition, (defense, attack))
            if curve:
                _line(panel, number, *zip(*curve, strict=True), label=defense)
        panel.set_title(attack, fontsize=8)
        panel.set_xlabel("round", fontsize=8)
        panel.set_ylabel("accuracy, %", fontsize=8)
        # Every panel has its rounds: below the last of a column there may be none.
        panel.tick_params(labelsize=7, labelbottom=True)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    handles = {
        label: handle
        for panel in figure.axes
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="lower center", fontsize=7, ncols=3)
    figure.suptitle(f"mean over seeds and splits; {condition_name(condition)}", fontsize=9)
    figure.tight_layout(rect=(0, 0.03 + 0.04 * -(-len(handles) // 3), 1, 1))
    return figure


def mean_curve(
    summary: Summary, condition: Condition, cell: tuple[str, str]
) -> list[tuple[int, float]]:
    """Return (round, accuracy in percent), the mean over seeds and splits; empty if one lacks."""
    by_round: dict[int, list[float]] = {}
    for split in summary.splits_of(condition, cell[1]):
        found = summary.cell(condition, split, *cell)
        if found is None or not found.by_seed:
            return []
        for record in found.by_seed.values():
            for evaluation in record.evaluations:
                by_round.setdefault(evaluation.round, []).append(100 * evaluation.accuracy)
    return [(number, fmean(values)) for number, values in sorted(by_round.items())]


def _breakdown(summary: Summary, name: str, family: Sequence[Condition]) -> Figure:
    """Draw the worst case over attacks and splits against the number of attackers."""
    figure = Figure(figsize=(4.6, 3.4))
    axes = figure.subplots()
    for number, defense in enumerate(summary.defenses):
        points = worst_by_attackers(summary, family, defense)
        if points:
            x = [attackers for attackers, _ in points]
            y = [100 * value.mean for _, value in points]
            _line(axes, number, x, y, label=defense)
            axes.fill_between(
                x,
                [100 * value.low for _, value in points],
                [100 * value.high for _, value in points],
                color=COLORS[number % len(COLORS)],
                alpha=0.15,
                linewidth=0,
            )
    axes.set_xlabel("attackers")
    axes.set_xticks([condition.attackers for condition in family])
    axes.set_ylabel("worst accuracy over attacks and splits, %")
    axes.set_title(name, fontsize=9, loc="left")
    axes.legend(**_BESIDE)
    return figure


def _cost(summary: Summary, condition: Condition) -> Figure:
    """Draw what a defense costs: accuracy lost without an attack against time per round."""
    figure = Figure(figsize=(4.6, 3.4))
    axes = figure.subplots()
    seeds = 0
    for number, defense in enumerate(summary.defenses):
        lost, takes = loss(summary, condition, defense), cost(summary, condition, defense)
        if lost is not None and takes is not None:
            seeds = max(seeds, lost.seeds)
            axes.errorbar(
                1000 * takes.seconds,
                100 * lost.mean,
                yerr=None if lost.half is None else 100 * lost.half,
                color=COLORS[number % len(COLORS)],
                marker=_MARKERS[number % len(_MARKERS)],
                linestyle="none",
                label=defense,
            )
    axes.set_xlabel("what the defense takes per round, ms")
    axes.set_ylabel(f"lost to {reference(summary, condition)} without an attack, points")
    where = f"loss: {on_splits(summary.splits_of(condition))}, {count(seeds, 'seed')}"
    axes.set_title(f"{condition_name(condition)}\n{where}", fontsize=9, loc="left")
    if axes.containers:
        axes.legend(**_BESIDE)
    return figure


def _line(axes: Axes, number: int, x: Sequence[float], y: Sequence[float], *, label: str) -> None:
    axes.plot(
        x,
        y,
        color=COLORS[number % len(COLORS)],
        marker=_MARKERS[number % len(_MARKERS)],
        markevery=max(1, len(x) // 5),
        markersize=4,
        linewidth=1.2,
        label=label,
    )
