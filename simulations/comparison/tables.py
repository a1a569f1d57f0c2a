"""The tables of the page: heat maps whose cells open their curves, and plain ones."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING

from quickthorn.simulations.comparison.breakdown import breakdown, families
from quickthorn.simulations.comparison.colors import shade
from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.questions import cost, loss, reference, unattacked
from quickthorn.simulations.comparison.texts import (
    breakable,
    breakdown_text,
    condition_name,
    count,
    duration,
    interval,
    on_splits,
    percent,
    points,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from quickthorn.simulations.comparison.matrices import Entry, Matrix
    from quickthorn.simulations.comparison.questions import Cost
    from quickthorn.simulations.comparison.results import Result
    from quickthorn.simulations.comparison.summary import Condition, Estimate, Summary


def cell_id(matrix: Matrix, summary: Summary, cell: tuple[str, str]) -> str:
    """Return the key of a cell among the curves of the page."""
    return "-".join(
        str(names.index(name))
        for names, name in (
            (summary.conditions, matrix.condition),
            (summary.defenses, cell[0]),
            (summary.attacks, cell[1]),
        )
    )


def heat_map(summary: Summary, matrix: Matrix, low: float) -> str:
    """Return a matrix as a table; the color runs from ``low`` to 1, cividis for all eyes."""
    if not matrix.columns:
        return '<p class="soft">There is nothing in this view.</p>'
    head = "".join(f'<th scope="col">{breakable(column)}</th>' for column in matrix.columns)
    several = sum(column != NO_ATTACK for column in matrix.columns) > 1
    body = []
    for row in matrix.rows:
        worst = matrix.worst(row) if several else None
        cells = "".join(
            _cell(summary, matrix, (row, column), low, worst=column == worst)
            for column in matrix.columns
        )
        body.append(f'<tr><th scope="row">{breakable(row)}</th>{cells}</tr>')
    name = f"{matrix.measure}, {condition_name(matrix.condition)}, {matrix.view}"
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(name)}">'
        f'<table class="heat"><thead><tr><th scope="col">defense</th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
        f"{_scale(matrix, low, several=several)}"
    )


def _cell(
    summary: Summary, matrix: Matrix, cell: tuple[str, str], low: float, *, worst: bool
) -> str:
    entry = matrix.entries[cell]
    mark = " worst" if worst else ""
    if entry.value is None:
        return f'<td class="empty{mark}">{entry.lacks or "–"}</td>'
    color, letters = shade(entry.value.value.mean, low, low_is_bad=matrix.low_is_bad)
    condition = matrix.condition
    if cell[1] == NO_ATTACK:
        title = f"{cell[0]}, {condition_name(condition._replace(attackers=0))}"
    else:
        title = f"{cell[0]} under {cell[1]}, {condition_name(condition)}"
    lines = _lines(matrix, entry)
    return (
        f'<td class="{mark.strip()}" style="background:{color};color:{letters}">'
        f'<button type="button" data-cell="{cell_id(matrix, summary, cell)}"'
        f' data-title="{escape(title)}" title="{escape(_hint(entry))}">{lines}</button></td>'
    )


def _lines(matrix: Matrix, entry: Entry) -> str:
    if entry.value is None:
        return ""
    value = entry.value.value
    show = _share if matrix.measure == "detection" else percent
    parts = [f"<b>{show(value.mean)}</b>"]
    if value.half is not None:
        parts.append(f"<small>± {show(value.half)}</small>")
    if entry.beside is not None:
        parts.append(f"<small>{matrix.beside} {percent(entry.beside.value.mean)}</small>")
    if entry.split:
        parts.append(f'<small class="split">{escape(entry.split)}</small>')
    if entry.lacks:
        parts.append(f"<small>{entry.lacks}</small>")
    return "".join(parts)


def _share(value: float) -> str:
    return f"{value:.2f}"


def _hint(entry: Entry) -> str:
    seeds = 0 if entry.value is None else entry.value.value.seeds
    where = f"worst split: {entry.split}; " if entry.split else ""
    return f"{where}{count(seeds, 'seed')}; opens the curves"


def _scale(matrix: Matrix, low: float, *, several: bool) -> str:
    stops = ", ".join(
        shade(low + (1 - low) * i / 8, low, low_is_bad=matrix.low_is_bad)[0] for i in range(9)
    )
    start, end = ("0.0", "1.0") if matrix.measure == "detection" else ("0 %", "100 %")
    if low:
        start = f"{low:.1f}" if matrix.measure == "detection" else f"{100 * low:.0f} %"
    marked = "<span>outlined: the worst attack of each complete row</span>" if several else ""
    return (
        f'<p class="scale"><span>{start}</span><i style="background:linear-gradient(90deg,'
        f'{stops})"></i><span>{end}</span>{marked}</p>'
    )


def defense_table(summary: Summary, condition: Condition) -> str:
    """Return what each defense is by itself: f*, its accuracy without an attack, its cost."""
    groups = families(summary)
    free = {name: unattacked(summary, condition, name) for name in summary.defenses}
    seeds = max((found.seeds for found in free.values() if found), default=0)
    best = reference(summary, condition) if seeds else "the best defense"
    head = ["defense", *(f"f* ({name})" for name in groups), "accuracy without an attack"]
    head += [f"lost to {'plain averaging' if best == 'mean' else best}"]
    head += ["defense, per round", "whole round"]
    rows = (
        (
            defense,
            *(breakdown_text(breakdown(summary, own, defense)) for own in groups.values()),
            _estimated(free[defense], interval, seeds),
            _estimated(loss(summary, condition, defense), points, seeds),
            _seconds(cost(summary, condition, defense)),
            _seconds(cost(summary, condition, defense, whole=True)),
        )
        for defense in summary.defenses
    )
    label = f"each defense by itself, {condition_name(condition)}"
    return plain_table(head, rows, label=label) + _measured(summary, condition, seeds)


def _estimated(found: Estimate | None, text: Callable[[Estimate], str], seeds: int) -> str:
    """Return an estimate; where it is of fewer seeds than the others, of how many."""
    if found is None:
        return "–"
    return text(found) + (f" ({count(found.seeds, 'seed')})" if found.seeds < seeds else "")


def _seconds(found: Cost | None) -> str:
    return "–" if found is None else duration(found.seconds)


def _measured(summary: Summary, condition: Condition, seeds: int) -> str:
    """Return under which conditions the figures of the table of defenses were taken."""
    where = on_splits(summary.splits_of(condition))
    clean = condition_name(condition._replace(attackers=0))
    free = f"Accuracy without an attack, and what is lost of it: {clean}, {where}, "
    free += f"{count(seeds, 'seed')}. "
    times = f"Times: median over the runs with {condition_name(condition)}, "
    times += "and those without an attack."
    return f"<figcaption>{escape((free if seeds else '') + times)}</figcaption>"


def failure_table(results: Sequence[Result]) -> str:
    """Return the runs that are not done, those that were never begun excepted.

    Those of one defense that tell the same error are one row.
    """
    alike: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.status in {"failed", "interrupted"}:
            told = result.run.scenario
            hostile = f"{told.attackers} / {told.byzantine}"
            alike[told.defense, hostile, f"{result.status}: {result.error}"].append(result)
    rows = [(*key, str(len(members)), _first(members[0])) for key, members in alike.items()]
    head = ["defense", "hostile / assumed", "what happened", "runs", "the first of them"]
    return plain_table(head, rows, label="runs that failed", left=True)


def _first(result: Result) -> str:
    told = result.run.scenario
    return f"{told.attack} on {result.run.split}, seed {told.seed}: {result.run.id}"


def plain_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, label: str, left: bool = False
) -> str:
    """Return a table whose first column names its rows."""
    titles = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = "".join(
        f'<tr><th scope="row">{breakable(first)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in others)
        + "</tr>"
        for first, *others in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(label)}">'
        f'<table class="plain{" left" if left else ""}"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
