"""``quickthorn quarantine``, ``readmit`` and ``ban``: what a person decides about a client."""

from __future__ import annotations

import getpass
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from quickthorn.server.clients_cli import AsJson, Client, Run, print_json
from quickthorn.server.entries import Participant
from quickthorn.server.lookup import find_clients, open_run
from quickthorn.server.roster import Roster, read_roster
from quickthorn.server.text import printable
from quickthorn.strategies.errors import ConfigurationError, RunError
from quickthorn.strategies.reputation import Decision

_LONGEST = 1000  # of a reason

Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it stays in the record.")
]
Who = Annotated[
    str | None,
    typer.Option("--who", metavar="NAME", help="Who decides; the user of this machine by default."),
]


def quarantine(
    run: Run, client: Client, why: Why, who: Who = None, as_json: AsJson = False
) -> None:
    """Keep a client out of the model from the next round on.

    RUN is the folder of the run; CLIENT an id, the name of an
    organization (all of its clients), or the beginning of one of them.

    It goes on training and being scored, so that it can be readmitted on
    evidence; its updates no longer count. Only `quickthorn readmit` ends
    it. A run that has ended is left as it is, with exit code 1.
    """
    _decide("quarantine", run, client, why, who, as_json=as_json)


def readmit(run: Run, client: Client, why: Why, who: Who = None, as_json: AsJson = False) -> None:
    """Let a quarantined client count again, from the next round on.

    RUN is the folder of the run; CLIENT an id, the name of an
    organization (all of its clients), or the beginning of one of them.

    It is watched at first, without the evidence of the past. It also
    turns a proposed quarantine down. A banned client cannot return.
    """
    _decide("readmit", run, client, why, who, as_json=as_json)


def ban(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    run: Run,
    client: Client,
    why: Why,
    who: Who = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a client no more, from the next round on; this cannot be undone.

    RUN is the folder of the run; CLIENT an id, the name of an
    organization (all of its clients), or the beginning of one of them.
    """
    _decide("ban", run, client, why, who, as_json=as_json, sure=yes)


def _decide(  # noqa: PLR0913 - what the three commands have in common
    action: str,
    run: Run,
    asked: str,
    why: str,
    who: str | None,
    *,
    as_json: bool,
    sure: bool = True,
) -> None:
    reason, person = _text(why, "--why"), _text(who or _user(), "--who")
    with open_run(run, write=True) as store:
        roster = read_roster(store)
        meant = find_clients(store.clients(), asked)
        if roster.ended:
            raise RunError(_ENDED.format(at=roster.ended))
        chosen, banned = _divided(meant, roster)
        if not chosen:
            raise RunError(_BANNED.format(names=_named(banned)) + " Nothing was recorded.")
        if not sure:
            _confirm(chosen)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        decisions = [Decision(client.id, action, person, reason, at) for client in chosen]
        for decision in decisions:
            store.ledger.add_decision(decision)
    if as_json:
        print_json({"recorded": [asdict(decision) for decision in decisions], "round": roster.last})
        return
    typer.echo(f"Recorded: {action} {_named(chosen)}, by {person}.")
    if banned:
        typer.echo(_BANNED.format(names=_named(banned)))
    explain = shlex.join(["quickthorn", "explain", str(run), asked])
    typer.echo(_COMING.format(last=roster.last or "none", explain=explain))


_ENDED = (
    "this run ended at {at}: nothing will happen in it any more, and its record stays as it is. "
    "Nothing was recorded."
)
_BANNED = "Already banned, which cannot be undone: {names}."
_COMING = (
    "It counts from the next round on; the last recorded one is {last}.\n"
    "What becomes of it: {explain}"
)


def _divided(
    meant: list[Participant], roster: Roster
) -> tuple[list[Participant], list[Participant]]:
    """Return those about whom something can be decided, and the banned."""
    gone = {
        line.client.id for line in roster.lines if line.standing and line.standing.state == "banned"
    }
    return [who for who in meant if who.id not in gone], [who for who in meant if who.id in gone]


def _named(clients: list[Participant]) -> str:
    return ", ".join(
        who.name if who.name == who.id else f"{who.name} ({who.id})" for who in clients
    )


def _confirm(chosen: list[Participant]) -> None:
    question = f"Ban {_named(chosen)} for good? It cannot be undone in this run."
    if not typer.confirm(question, err=True):
        raise RunError("not banned; nothing was recorded.")


def _text(given: str, option: str) -> str:
    text = printable(given.strip(), _LONGEST)
    if not text:
        msg = f"{option} needs a text: it stays in the record, for whoever asks later."
        raise ConfigurationError(msg)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user: a container, say
        msg = "this machine does not say who you are; give --who NAME."
        raise ConfigurationError(msg) from None
