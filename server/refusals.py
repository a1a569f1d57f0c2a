"""Decisions that can come to nothing, as a run stands: told at once instead of recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.server.entries import Unreadable
from quickthorn.strategies.reputation import QUICKTHORN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.server.entries import Participant
    from quickthorn.server.roster import Line, Roster
    from quickthorn.strategies.reputation import Change, Decision

_AFTER = {"quarantine": "quarantined", "readmit": "watch", "ban": "banned"}
_BANNED = "Already banned, which cannot be undone"
_FREE = "Not in quarantine, and not proposed for it"
_HELD = "Already in quarantine by a person's decision"


def refusals(
    action: str, meant: Sequence[Participant], roster: Roster, changes: Sequence[Change]
) -> dict[str, str]:
    """Return client id to reason for each of ``meant`` for whom ``action`` can change nothing.

    Parameters
    ----------
    action
        ``"quarantine"``, ``"readmit"`` or ``"ban"``.
    meant
        The clients.
    roster
        How everybody stands, and what waits to be carried out.
    changes
        Of the run, in their order.

    """
    waiting = {
        entry.decision.client: entry.decision
        for entry in roster.coming
        if not isinstance(entry.decision, Unreadable)
    }
    movers = {change.client: change.who for change in changes}
    lines = {line.client.id: line for line in roster.lines}
    found = {
        who.id: _refusal(action, lines[who.id], movers.get(who.id, ""), waiting.get(who.id))
        for who in meant
    }
    return {client: reason for client, reason in found.items() if reason}


def _refusal(action: str, line: Line, mover: str, waiting: Decision | None) -> str:
    standing = line.standing
    state = standing.state if standing else ""
    proposed = standing is not None and standing.proposed
    if waiting:
        state, proposed, mover = _AFTER[waiting.action], False, waiting.who
    reason = ""
    if state == "banned":
        reason = _BANNED
    elif action == "readmit" and state != "quarantined" and not proposed:
        reason = _FREE
    elif action == "quarantine" and state == "quarantined" and mover != QUICKTHORN:
        reason = _HELD  # one by quickthorn would expire; a person's does not
    if reason and waiting:
        return f"The decision of {waiting.who} to {waiting.action} is recorded already"
    return reason
