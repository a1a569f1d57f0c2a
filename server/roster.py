"""How every client of a run stands, read back from its record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.server.entries import Entry, Participant
    from quickthorn.server.store import RunStore
    from quickthorn.strategies.reputation import Standing
    from quickthorn.strategies.updates import Verdict


@dataclass(frozen=True)
class Line:
    """One client.

    Attributes
    ----------
    client
        Who it is.
    standing
        After the last round; None before the first.
    verdict, judged
        On its last training reply, and the round of it; None and 0 where there was none.

    """

    client: Participant
    standing: Standing | None
    verdict: Verdict | None
    judged: int


@dataclass(frozen=True)
class Roster:
    """All clients of a run.

    Attributes
    ----------
    last
        The last recorded round; 0 before the first.
    at
        When it was recorded; empty before the first.
    ended
        When the run ended; empty while it may go on.
    lines
        One per client, the most suspicious first.
    coming
        Decisions that no recorded round shows yet.

    """

    last: int
    at: str
    ended: str
    lines: tuple[Line, ...]
    coming: tuple[Entry, ...]

    def label(self, client: Participant) -> str:
        """Return the name of ``client``, or its id where others have the same name."""
        alike = [line for line in self.lines if line.client.name == client.name]
        return client.name if len(alike) == 1 else client.id

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "round": self.last,
            "at": self.at,
            "ended": self.ended,
            "clients": [_plain(line) for line in self.lines],
            "coming": [{**asdict(entry.decision), "round": entry.round} for entry in self.coming],
        }


def read_roster(store: RunStore) -> Roster:
    """Read how everybody stands after the last round of a run."""
    rounds = store.rounds()
    last, at = (rounds[-1]["number"], rounds[-1]["at"]) if rounds else (0, "")
    standings = {standing.client: standing for _, standing in store.ledger.standings(last)}
    verdicts = {
        verdict.client: (verdict, number)
        for number, phase, verdict in store.verdicts()
        if phase == "train" and number <= last and verdict.code != "duplicate"
    }
    lines = [
        Line(client, standings.get(client.id), *verdicts.get(client.id, (None, 0)))
        for client in store.clients()
    ]
    return Roster(
        last,
        at,
        store.meta().get("ended", ""),
        tuple(sorted(lines, key=_suspicion)),
        coming(store.ledger.decisions(), last),
    )


def coming(entries: Sequence[Entry], last: int) -> tuple[Entry, ...]:
    """Return the decisions that the server has not read, or that count only after ``last``."""
    return tuple(
        entry
        for entry in entries
        if entry.round is None or (entry.round > last and not entry.refused)
    )


def _suspicion(line: Line) -> tuple[float, float, str]:
    if line.standing is None:
        return (1.0, 0.0, line.client.name)
    return (-line.standing.evidence, -line.standing.strength, line.client.name)


def _plain(line: Line) -> dict[str, Any]:
    return {
        "id": line.client.id,
        "name": line.client.name,
        "standing": line.standing and asdict(line.standing),
        "verdict": line.verdict and {"round": line.judged, **asdict(line.verdict)},
    }
