"""Carry out what people decided about clients, at the start of a round."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quickthorn.server.entries import Unreadable
from quickthorn.strategies.reputation import Change, Member, Reputation, decide

if TYPE_CHECKING:
    from collections.abc import Collection

    from quickthorn.server.ledger import Ledger
    from quickthorn.strategies.reputation import Decision


def carry_out(
    ledger: Ledger, reputation: Reputation, number: int, *, known: Collection[str] = ()
) -> tuple[Reputation, tuple[Change, ...]]:
    """Read the decisions that are new, apply them, and note in the record what became of each.

    Parameters
    ----------
    ledger
        Of the run.
    reputation
        After the round before.
    number
        Of the round that begins: they count in it.
    known
        Clients that take part, also those that no training round has judged yet, or lately.

    Returns
    -------
    tuple
        The reputation for this round, and one change per decision; refused ones say why.

    """
    new = [entry for entry in ledger.decisions() if entry.round is None]
    if not new:
        return reputation, ()
    unreadable = [entry for entry in new if isinstance(entry.decision, Unreadable)]
    sound = [entry for entry in new if entry not in unreadable]
    met = {entry.decision.client for entry in sound}.intersection(known)
    fresh = {client: Member() for client in sorted(met - reputation.members.keys())}
    members = {**reputation.members, **fresh}
    following, changes = decide(Reputation(members), number, [entry.decision for entry in sound])
    changes += tuple(_refused(entry.decision, number) for entry in unreadable)
    ledger.settle(
        [
            replace(entry, round=number, refused=change.why if change.refused else "")
            for entry, change in zip(sound + unreadable, changes, strict=True)
        ]
    )
    return following, changes


def _refused(decision: Decision, number: int) -> Change:
    why = f"refused to {decision.action} ({decision.why}): it is no decision that can be read"
    return Change(decision.client, number, "", "", decision.who, why, refused=True)
