"""``quickthorn clients`` and ``quickthorn explain``: who stands how in a run, and why."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from quickthorn.server.dossier import read_dossier
from quickthorn.server.dossier_report import print_dossier
from quickthorn.server.lookup import one_client, open_run
from quickthorn.server.roster import read_roster
from quickthorn.server.roster_report import print_roster
from quickthorn.server.terminal import open_console

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, or its run.sqlite.")]
Client = Annotated[
    str,
    typer.Argument(
        metavar="CLIENT",
        help="An id, the name of an organization, or the beginning of one of them.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def clients(run: Run, as_json: AsJson = False) -> None:
    """List the clients of a run, the most suspicious first.

    state: probation, healthy, watch, quarantined (trains on, is scored,
    does not count) or banned (is not asked); since: the round.
    score: of the last round alone, 0 to 1. evidence: of all rounds;
    near 1 is suspicious. A question mark: a quarantine is proposed.

    It reads the record only, also while the federation runs.
    """
    with open_run(run) as store:
        roster = read_roster(store)
    if as_json:
        print_json(roster.to_json())
    else:
        print_roster(roster, run, open_console())


def explain(
    run: Run,
    client: Client,
    rounds: Annotated[
        int, typer.Option(min=0, help="How many of the last rounds to show; 0 for all.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the evidence about one client, round by round.

    Its state and the reason, its score over the rounds as a chart, who
    changed its state, when and why, and per round: its score, refused
    replies, its influence on the model and every signal with its value
    and robust z-score. --json prints all rounds.

    It reads the record only, also while the federation runs.
    """
    with open_run(run) as store:
        dossier = read_dossier(store, one_client(store.clients(), client))
        ended = "ended" in store.meta()
    if as_json:
        print_json(dossier.to_json())
    else:
        print_dossier(dossier, open_console(), rounds=rounds, ended=ended)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object; a number that JSON does not know becomes null."""
    typer.echo(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:  # noqa: ANN401 - any plain value
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
