"""What the demonstration prints, read back from the folder of its run."""

from __future__ import annotations

import json
import os
import shutil
import sys
from statistics import mean
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from quickthorn.server.roster import read_roster
from quickthorn.server.store import RunStore
from quickthorn.server.terminal import figure
from quickthorn.simulations.demo import CURVES, HOSTILE, ORGANIZATIONS
from quickthorn.strategies.scoring import STANDS_OUT, explain, suspicion

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from quickthorn.server.roster import Roster
    from quickthorn.simulations.demo import Curve
    from quickthorn.strategies.updates import Score

_TRY_NEXT = 'demo --defense "clip | median"'


def print_report(folder: Path, console: Console) -> None:
    """Print both tables, the outcome in words, the folder and what to try next."""
    curves = json.loads((folder / CURVES).read_text(encoding="utf-8"))
    with RunStore.open(folder) as store:
        defense = store.meta()["defense"]
        last = store.rounds()[-1]["number"]
        reasons = explain(score for _, score in store.scores(last))
        names = {client.id: client.name for client in store.clients()}
        roster = read_roster(store)
        console.print(_curves(curves, defense), "", _organizations(store, roster), "", sep="\n")
    for client, reason in reasons.items():
        console.print(f"[bold]{escape(names[client])}[/bold], round {last}: {escape(reason)}.")
    for line in roster.lines:
        if line.standing and line.standing.proposed:
            name = escape(line.client.name)
            console.print(f"A quarantine of [bold]{name}[/bold] is proposed to the operator.")
    console.print(_outcome(curves, defense))
    console.print(f"\nRecord, model, settings and logs: [bold]{escape(str(folder))}[/bold]")
    console.print(f"Evidence: [bold]{escape(f'{_command()} explain {folder} {HOSTILE}')}[/bold]")
    console.print(f"Next: [bold]{escape(f'{_command()} {_TRY_NEXT}')}[/bold]")


def _command() -> str:
    """Return how to call us from here: by name where the shell finds it, else by path."""
    return "quickthorn" if shutil.which("quickthorn") else os.path.relpath(sys.argv[0])


def _curves(curves: dict[str, Curve], defense: str) -> Table:
    table = Table(
        title="Held-out accuracy and recall of the malignant class, in %",
        caption=(
            f"plain: Flower's FedAvg over all {len(ORGANIZATIONS)}, in this process\n"
            f"defended: {escape(defense)}, one SuperNode per organization, each a process\n"
            f"without: FedAvg without {HOSTILE}, in this process"
        ),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("round", justify="right")
    for title in ("plain", "defended", "without"):
        table.add_column(f"{title}\naccuracy", justify="right")
        table.add_column("\nmalignant", justify="right")
    rows = zip(curves["plain"], curves["defended"], curves["without"], strict=True)
    for number, row in enumerate(rows):
        figures = [at[name] for at in row for name in ("accuracy", "recall-malignant")]
        table.add_row(str(number), *(f"{100 * figure:.1f}" for figure in figures))
    return table


def _organizations(store: RunStore, roster: Roster) -> Table:
    table = Table(
        title="Organizations, the most suspicious first",
        caption=(
            "evidence: of all rounds, from 0 to 1; close to 1 is suspicious\n"
            f"anomaly: the worst z-score of a round, mean; above {STANDS_OUT} it stands out\n"
            "* the hostile member"
        ),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("organization")
    table.add_column("state")
    table.add_column("evidence", justify="right")
    table.add_column("anomaly", justify="right")
    table.add_column("loudest signal")
    anomaly = _mean_suspicion(store)
    for line in roster.lines:
        client, standing = line.client, line.standing
        worst = anomaly.get(client.id, 0.0)
        table.add_row(
            escape(client.name) + (" *" if client.name == HOSTILE else ""),
            standing.state if standing else "-",
            figure(standing.evidence if standing else None, 4),
            f"{worst:.1f}",
            _loudest([score for _, score in store.scores(client=client.id)]),
            style="bold red" if worst > STANDS_OUT else "",
        )
    return table


def _loudest(scores: list[Score]) -> str:
    """Return the signal with the highest mean z-score, and that mean."""
    values: dict[str, list[float]] = {}
    for score in scores:
        values.setdefault(score.signal, []).append(score.z)
    means = {signal: mean(found) for signal, found in values.items()}
    name = max(sorted(means), key=lambda signal: means[signal], default="")
    return f"{name.replace('_', ' ')} {means[name]:.1f}" if name else "-"


def _mean_suspicion(store: RunStore) -> dict[str, float]:
    """Return, per client, the mean over rounds of its worst signal."""
    rounds: dict[str, list[float]] = {}
    for row in store.rounds():
        scores = (score for _, score in store.scores(row["number"]))
        for client, worst in suspicion(scores).items():
            rounds.setdefault(client, []).append(worst)
    return {client: mean(values) for client, values in rounds.items()}


def _outcome(curves: dict[str, Curve], defense: str) -> str:
    plain, defended, without = (
        100 * curves[name][-1]["accuracy"] for name in ("plain", "defended", "without")
    )
    return (
        f"\nWith one hostile member of {len(ORGANIZATIONS)}, plain averaging ends at "
        f"{plain:.1f} % accuracy and {escape(defense)} at {defended:.1f} %; "
        f"averaging without that member ends at {without:.1f} %."
    )
