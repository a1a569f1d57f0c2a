"""Find what a person names on the command line: a run, and the clients in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.server.entries import FILE_NAME
from quickthorn.server.store import RunStore
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from quickthorn.server.entries import Participant


def open_run(run: Path, *, write: bool = False) -> RunStore:
    """Open the record of ``run``, its folder or the file ``run.sqlite`` in it.

    Raises
    ------
    RunError
        If there is no record, or none that can be read.

    """
    return RunStore.open(run.parent if run.name == FILE_NAME else run, write=write)


def find_clients(clients: Sequence[Participant], asked: str) -> list[Participant]:
    """Return the client that ``asked`` names, or all clients of the organization.

    Parameters
    ----------
    clients
        Of the run.
    asked
        An id, the name of an organization, or the beginning of one of them.

    Raises
    ------
    ConfigurationError
        If it is the beginning of several.
    UnknownNameError
        If it is nobody's; the near miss is named.

    Example
    -------
    >>> from quickthorn.server.entries import Participant
    >>> clients = [Participant("key:0a1b", "north", 7), Participant("node:8", "node:8", 8)]
    >>> [[who.node for who in find_clients(clients, text)] for text in ("no", "node", "0a", "8")]
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.ConfigurationError: 'no' may be node:8 or north; \
give more of the name.
    >>> [[who.node for who in find_clients(clients, text)] for text in ("nor", "node", "0a", "8")]
    [[7], [8], [7], [8]]

    """
    exact = [who for who in clients if who.id == asked] or [
        who for who in clients if who.name == asked
    ]
    if exact:
        return exact
    found = [who for who in clients if _begins(who, asked)]
    names = sorted({who.name for who in found})
    if len(names) > 1:
        shown = f"{', '.join(names[:-1])} or {names[-1]}"
        msg = f"{asked!r} may be {shown}; give more of the name."
        raise ConfigurationError(msg)
    if not found:
        raise UnknownNameError("client", asked, {text for who in clients for text in _texts(who)})
    return found


def one_client(clients: Sequence[Participant], asked: str) -> Participant:
    """Return the client that ``asked`` names.

    Raises
    ------
    ConfigurationError
        As ``find_clients``, and for an organization with several clients.

    """
    found = find_clients(clients, asked)
    if len(found) > 1:
        ids = ", ".join(who.id for who in found)
        msg = f"{found[0].name} has {len(found)} clients: {ids}. Name one of them."
        raise ConfigurationError(msg)
    return found[0]


def _texts(who: Participant) -> set[str]:
    return {who.id, who.name}


def _begins(who: Participant, asked: str) -> bool:
    """Whether an id, with or without what stands before its colon, or a name begins so."""
    digits = who.id.partition(":")[2]
    return bool(asked) and any(text.startswith(asked) for text in (who.id, digits, who.name))
