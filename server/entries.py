"""What the record of a run holds: its tables, and the values that fill them.

``docs/reference/record.md`` describes the tables for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quickthorn.strategies.reputation import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quickthorn.strategies.reputation import Change, Standing
    from quickthorn.strategies.updates import Score, Verdict

FILE_NAME = "run.sqlite"
FORMAT = "2"
OBSERVED = "observed"  # in the meta table of a run that an observer wrote

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE client (id TEXT PRIMARY KEY, name TEXT NOT NULL, node TEXT NOT NULL);
CREATE TABLE round (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, seconds REAL NOT NULL, status TEXT NOT NULL,
    reason TEXT NOT NULL, asked INTEGER NOT NULL, accepted INTEGER NOT NULL,
    unsolicited INTEGER NOT NULL, model TEXT NOT NULL);
CREATE TABLE verdict (
    round INTEGER NOT NULL, phase TEXT NOT NULL, client TEXT NOT NULL,
    accepted INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL,
    ignored TEXT NOT NULL);
CREATE TABLE influence (
    round INTEGER NOT NULL, client TEXT NOT NULL, share REAL NOT NULL,
    PRIMARY KEY (round, client));
CREATE TABLE score (
    round INTEGER NOT NULL, client TEXT NOT NULL, signal TEXT NOT NULL, value REAL NOT NULL,
    z REAL NOT NULL, side INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (round, client, signal));
CREATE TABLE metric (
    round INTEGER NOT NULL, source TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (round, source, name));
CREATE TABLE standing (
    round INTEGER NOT NULL, client TEXT NOT NULL, state TEXT NOT NULL, since INTEGER NOT NULL,
    rounds INTEGER NOT NULL, score REAL, evidence REAL NOT NULL, strength REAL NOT NULL,
    reason TEXT NOT NULL, techniques TEXT NOT NULL, proposed INTEGER NOT NULL,
    PRIMARY KEY (round, client));
CREATE TABLE change (
    round INTEGER NOT NULL, client TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
    who TEXT NOT NULL, why TEXT NOT NULL);
CREATE TABLE decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL,
    client TEXT NOT NULL, why TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('quarantine', 'readmit', 'ban')),
    round INTEGER, refused TEXT NOT NULL DEFAULT '');
CREATE TABLE reputation (round INTEGER NOT NULL, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Participant:
    """A client as the record names it: durable id, the organization's name, Flower's node id."""

    id: str
    name: str
    node: int


@dataclass(frozen=True)
class RoundRecord:
    """All that a training round leaves behind.

    Attributes
    ----------
    number
        Of the round, from 1.
    seconds
        From the first message sent to the new model.
    status, reason
        ``aggregated``, or ``unchanged`` with the reason.
    asked
        How many clients were asked.
    unsolicited
        How many replies answered nothing that was asked, or again; the first have verdicts.
    model
        SHA-256 of the model after the round.
    verdicts, scores
        One or more verdicts per client, and the scores of the accepted updates.
    influence
        Client to share, where the rule has the notion.
    metrics
        Combined training metrics.
    standings, changes
        What the round made of everybody's reputation.
    reputation
        That value itself, as JSON; empty where nobody keeps one.

    """

    number: int
    seconds: float
    status: str
    reason: str
    asked: int
    unsolicited: int
    model: str
    verdicts: Sequence[Verdict] = ()
    scores: Sequence[Score] = ()
    influence: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    standings: Sequence[Standing] = ()
    changes: Sequence[Change] = ()
    reputation: str = ""


@dataclass(frozen=True)
class Unreadable(Decision):
    """What another program left in place of a decision: of no known action, or not in UTF-8."""

    def __post_init__(self) -> None:
        """Accept any action: nobody carries it out."""


@dataclass(frozen=True)
class Entry:
    """A person's decision as the record holds it.

    Attributes
    ----------
    id
        Counts up.
    decision
        Who decided what, when and why.
    round
        The first round in which it counted, or in which it was refused; None while the
        server has not read it.
    refused
        Why it counts for nothing; empty where it counts.

    """

    id: int
    decision: Decision
    round: int | None = None
    refused: str = ""
