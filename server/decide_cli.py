"""``quickthorn quarantine``, ``readmit`` and ``ban``: what a person decides about a client."""

from __future__ import annotations

import getpass
import shlex
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from quickthorn.server.clients_cli import AsJson, Run, print_json
from quickthorn.server.entries import OBSERVED, Participant
from quickthorn.server.lookup import find_clients, open_run
from quickthorn.server.refusals import refusals
from quickthorn.server.roster import Roster, read_roster
from quickthorn.server.text import printable
from quickthorn.strategies.errors import ConfigurationError, RunError
from quickthorn.strategies.reputation import Decision

if TYPE_CHECKING:
    from quickthorn.server.store import RunStore

_LONGEST = 1000  # of a reason
_OLD_MINUTES = 60

Clients = Annotated[
    str,
    typer.Argument(
        metavar="CLIENT",
        help="An id, the name of an organization (all of its clients), or the beginning of one.",
    ),
]
Why = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it stays in the record.")
]
Who = Annotated[
    str | None,
    typer.Option("--who", metavar="NAME", help="Who decides; the user of this machine by default."),
]


def quarantine(
    run: Run, client: Clients, why: Why, who: Who = None, as_json: AsJson = False
) -> None:
    """Keep a client out of the model from the next round that begins.

    It goes on training and being scored, so that it can be readmitted on
    evidence; its updates no longer count. Only `quickthorn readmit` ends
    it. While a round runs, it counts from the one after it. What can
    change nothing is refused, with exit code 1: a client that a person
    quarantined already, a run that has ended or is only observed.
    """
    _decide("quarantine", run, client, why, who, as_json=as_json)


def readmit(run: Run, client: Clients, why: Why, who: Who = None, as_json: AsJson = False) -> None:
    """Let a quarantined client count again, from the next round that begins.

    It is watched at first, without the evidence of the past. It also
    turns a proposed quarantine down. While a round runs, it counts from
    the one after it. A banned client cannot return, and one that is
    neither in quarantine nor proposed is refused, with exit code 1.
    """
    _decide("readmit", run, client, why, who, as_json=as_json)


def ban(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    run: Run,
    client: Clients,
    why: Why,
    who: Who = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a client no more, from the next round that begins; for good.

    While a round runs, it counts from the one after it. It cannot be
    undone in this run.
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
    words, person = _text(why, "--why"), _text(who or _user(), "--who")
    with open_run(run, write=True) as store:
        roster = read_roster(store)
        meant = find_clients([line.client for line in roster.lines], asked)
        refused = refusals(action, meant, roster, store.ledger.changes())
        chosen = [client for client in meant if client.id not in refused]
        nothing = _nothing(store, roster)
        if nothing or not chosen:
            reason = nothing or " ".join(_told(meant, refused))
            if as_json:
                print_json({"recorded": [], "refused": reason, "round": roster.last})
            raise RunError(f"{reason} Nothing was recorded.")
        if not sure:
            _confirm(chosen)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        decisions = [Decision(client.id, action, person, words, at) for client in chosen]
        for decision in decisions:
            store.ledger.add_decision(decision)
    if as_json:
        print_json({"recorded": [asdict(decision) for decision in decisions], "round": roster.last})
        return
    typer.echo(f"Recorded: {action} {_named(chosen)}, by {person}.")
    for line in _told(meant, refused):
        typer.echo(line)
    explain = shlex.join(["quickthorn", "explain", str(run), asked])
    typer.echo(_COMING.format(last=roster.last or "none", age=_age(roster.at), explain=explain))


_ENDED = (
    "this run ended at {at}: nothing will happen in it any more, and its record stays as it is."
)
_OBSERVED = "this run is only observed, and an observed run keeps nobody out."
_COMING = (
    "It counts in the next round that begins; while a round runs, that is the one after it.\n"
    "The last recorded round is {last}{age}.\n"
    "What becomes of it: {explain}"
)


def _nothing(store: RunStore, roster: Roster) -> str:
    """Return why nobody's decision can count in this run; empty where it can."""
    if roster.ended:
        return _ENDED.format(at=roster.ended)
    return _OBSERVED if OBSERVED in store.meta() else ""


def _told(meant: list[Participant], refused: dict[str, str]) -> list[str]:
    """Return a sentence for each reason, with those whom it concerns."""
    return [
        f"{reason}: {_named([client for client in meant if refused.get(client.id) == reason])}."
        for reason in dict.fromkeys(refused.values())
    ]


def _age(at: str) -> str:
    """Return when the last round was recorded, where that is suspiciously long ago."""
    if not at:
        return ""
    minutes = (datetime.now(UTC) - datetime.fromisoformat(at)) / timedelta(minutes=1)
    if minutes < _OLD_MINUTES:
        return ""
    return f", of {at}, {minutes:.0f} minutes ago; if the server is gone, nothing will happen"


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
