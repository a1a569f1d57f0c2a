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
        console.print(_curves(curves, defense))
        console.print(_organizations(store, names))
        roster = read_roster(store)
    for client, reason in reasons.items():
        console.print(f"[bold]{escape(names[client])}[/bold], round {last}: {escape(reason)}.")
    console.print(_standing(roster))
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


def _organizations(store: RunStore, names: dict[str, str]) -> Table:
    table = Table(
        title="Organizations by anomaly: robust z-scores, mean over the rounds",
        caption=(
            f"anomaly: the worst signal; above {STANDS_OUT} it stands out\n* the hostile member"
        ),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    by_client: dict[str, list[Score]] = {client: [] for client in names}
    for _, score in store.scores():
        by_client[score.client].append(score)
    signals = sorted({score.signal for scores in by_client.values() for score in scores})
    table.add_column("organization")
    for title in ("anomaly", *signals):
        table.add_column(title.replace("_", " "), justify="right")
    anomaly = _mean_suspicion(store)
    for client in sorted(names, key=lambda client: -anomaly.get(client, 0.0)):
        means = [_mean_z(by_client[client], signal) for signal in signals]
        stands_out = anomaly.get(client, 0.0) > STANDS_OUT
        table.add_row(
            escape(names[client]) + (" *" if names[client] == HOSTILE else ""),
            f"{anomaly.get(client, 0.0):.1f}",
            *means,
            style="bold red" if stands_out else "",
        )
    return table


def _mean_z(scores: list[Score], signal: str) -> str:
    values = [score.z for score in scores if score.signal == signal]
    # Adding 0 makes 0.0 of the -0.0 that rounding leaves.
    return f"{round(mean(values), 1) + 0.0:.1f}" if values else "–"


def _mean_suspicion(store: RunStore) -> dict[str, float]:
    """Return, per client, the mean over rounds of its worst signal."""
    rounds: dict[str, list[float]] = {}
    for row in store.rounds():
        scores = (score for _, score in store.scores(row["number"]))
        for client, worst in suspicion(scores).items():
            rounds.setdefault(client, []).append(worst)
    return {client: mean(values) for client, values in rounds.items()}


def _standing(roster: Roster) -> str:
    """Say how the hostile member stands in the end."""
    for line in roster.lines:
        if line.client.name == HOSTILE and line.standing is not None:
            standing = line.standing
            waits = "; its quarantine is proposed and waits for a person"
            return (
                f"[bold]{HOSTILE}[/bold] ends in state {standing.state}, since round "
                f"{standing.since}, with evidence {figure(standing.evidence, 4)}"
                f"{waits if standing.proposed else ''}."
            )
    return f"[bold]{HOSTILE}[/bold] was never judged."


def _outcome(curves: dict[str, Curve], defense: str) -> str:
    plain, defended, without = (
        100 * curves[name][-1]["accuracy"] for name in ("plain", "defended", "without")
    )
    return (
        f"\nWith one hostile member of {len(ORGANIZATIONS)}, plain averaging ends at "
        f"{plain:.1f} % accuracy and {escape(defense)} at {defended:.1f} %; "
        f"averaging without that member ends at {without:.1f} %."
    )
