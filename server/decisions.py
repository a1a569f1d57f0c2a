"""Carry out what people decided about clients, at the start of a round."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quickthorn.strategies.reputation import decide

if TYPE_CHECKING:
    from quickthorn.server.ledger import Ledger
    from quickthorn.strategies.reputation import Change, Reputation


def carry_out(
    ledger: Ledger, reputation: Reputation, number: int
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

    Returns
    -------
    tuple
        The reputation for this round, and one change per decision; refused ones say why.

    """
    new = [entry for entry in ledger.decisions() if entry.round is None]
    if not new:
        return reputation, ()
    following, changes = decide(reputation, number, [entry.decision for entry in new])
    ledger.settle(
        [
            replace(entry, round=number, refused=change.why if change.refused else "")
            for entry, change in zip(new, changes, strict=True)
        ]
    )
    return following, changes
