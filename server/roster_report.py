"""The table that ``quickthorn clients`` prints."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from quickthorn.server.terminal import figure, print_below

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, JustifyMethod

    from quickthorn.server.entries import Entry
    from quickthorn.server.roster import Line, Roster
    from quickthorn.strategies.reputation import Standing

_STYLES = {"watch": "yellow", "quarantined": "bold red", "banned": "red"}
_NUMBERS = ("since", "score", "evidence", "rounds")
_COLUMNS = ("client", "state", *_NUMBERS, "reply")
_DISPENSABLE = ("rounds", "reply", "since", "score", "evidence")  # the first goes first
_GAP = 3  # beside each column
_PROPOSED = "?"  # beside the state


def print_roster(roster: Roster, run: Path, console: Console) -> None:
    """Print the table, the reasons, and what waits for a person or for the next round."""
    if not roster.last:
        console.print("No round is recorded yet.")
    names = {line.client.id: roster.label(line.client) for line in roster.lines}
    console.print(_table(roster, names, console.width))
    for line in roster.lines:
        if line.standing and line.standing.reason:
            console.print(f"[bold]{escape(names[line.client.id])}[/bold]")
            print_below(_reason(line.standing), console)
    for line in roster.lines:
        if line.standing and line.standing.proposed:
            _print_proposal(names[line.client.id], run, console, ended=bool(roster.ended))
    for entry in roster.coming:
        console.print(escape(f"{describe(entry, names, ended=bool(roster.ended))}."))


def _table(roster: Roster, names: dict[str, str], width: int) -> Table:
    """Return the table; where it is too wide, columns go, and whole names stay."""
    rows = [[names[line.client.id], *_cells(line, roster.last)] for line in roster.lines]
    widths = [max(map(cell_len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    widths[-1] = max(cell_len(word) for row in [_COLUMNS, *rows] for word in row[-1].split())
    shown = list(range(len(_COLUMNS)))
    for dispensable in _DISPENSABLE:
        if sum(widths[column] + _GAP for column in shown) > width:
            shown.remove(_COLUMNS.index(dispensable))
    fits = sum(widths[column] + _GAP for column in shown) <= width
    proposed = any(line.standing and line.standing.proposed for line in roster.lines)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=_title(roster),
        title_justify="left",
        caption=f"{_PROPOSED} a quarantine is proposed" if proposed else None,
        caption_justify="left",
    )
    for column in shown:
        name = _COLUMNS[column]
        side: JustifyMethod = "right" if name in _NUMBERS else "left"
        wraps = name == "reply" or (name == "client" and not fits)
        table.add_column(name, justify=side, no_wrap=not wraps, overflow="fold")
    for line, row in zip(roster.lines, rows, strict=True):
        style = _STYLES.get(line.standing.state) if line.standing else None
        table.add_row(*(escape(row[column]) for column in shown), style=style)
    return table


def describe(entry: Entry, names: dict[str, str], *, ended: bool) -> str:
    """Return a decision in words, and from when it counts."""
    decision = entry.decision
    who = names.get(decision.client, decision.client)
    words = f"{decision.action} {who}, by {decision.who} at {decision.at}"
    if entry.refused:
        return f"{words}, before round {entry.round}: {entry.refused}"
    words = f"{words} ({decision.why})"
    if entry.round is not None:
        return f"{words}: counts from round {entry.round}"
    if ended:
        return f"{words}: never counted, the run ended before"
    return f"{words}: waits for the next round"


def _title(roster: Roster) -> str:
    state = f"the run ended at {roster.ended}" if roster.ended else f"recorded at {roster.at}"
    return f"After round {roster.last}; {state}" if roster.last else ""


def _cells(line: Line, last: int) -> list[str]:
    standing = line.standing
    if standing is None:
        return ["-", "-", "-", "-", "-", _reply(line, last)]
    return [
        f"{standing.state} {_PROPOSED}" if standing.proposed else standing.state,
        str(standing.since),
        figure(standing.score, 2),
        figure(standing.evidence, 4),
        str(standing.rounds),
        _reply(line, last),
    ]


def _reply(line: Line, last: int) -> str:
    if line.verdict is None:
        return "-"
    return line.verdict.code + ("" if line.judged == last else f", round {line.judged}")


def _reason(standing: Standing) -> str:
    like = f" Resembles {', '.join(standing.techniques)}." if standing.techniques else ""
    return f"{standing.reason}.{like}"


def _print_proposal(name: str, run: Path, console: Console, *, ended: bool) -> None:
    console.print(escape(f"A quarantine of {name} is proposed and waits for a person."))
    if not ended:
        command = shlex.join(["quickthorn", "quarantine", str(run), name, "--why", "as proposed"])
        console.print(f"  Approve it:  {escape(command)}", soft_wrap=True)
