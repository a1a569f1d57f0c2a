"""The part of a run's record that says who is trusted: standings, changes, people's decisions."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from quickthorn.server.entries import Entry, Unreadable
from quickthorn.server.text import printable
from quickthorn.strategies.errors import RunError
from quickthorn.strategies.reputation import Change, Decision, Standing
from quickthorn.strategies.standing import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.server.entries import RoundRecord

_LONGEST = 2000  # of a text; what the commands write is shorter


class Ledger:
    """Standings, changes and decisions, on the connection of a ``RunStore``.

    The server writes all of it but new decisions: those come from the commands, each from a
    process of its own, and the server reads them at the start of a round.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use an open connection; ``RunStore.ledger`` is one."""
        self._connection = connection

    def add_decision(self, decision: Decision) -> None:
        """Write a person's decision for the server to read.

        Raises
        ------
        RunError
            If the run has ended, since a finished record stays as it is, or the file cannot be
            written.

        """
        try:
            with self._connection:
                written = self._connection.execute(
                    "INSERT INTO decision (at, who, client, action, why) SELECT ?, ?, ?, ?, ? "
                    "WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'ended')",
                    (decision.at, decision.who, decision.client, decision.action, decision.why),
                )
        except sqlite3.OperationalError as error:  # whose file is it? is the disk full?
            raise RunError(f"the decision could not be recorded: {error}.") from error
        if not written.rowcount:
            raise RunError(
                "the run has ended: nothing will happen in it any more, and its record stays as "
                "it is. Nothing was recorded."
            )

    def settle(self, entries: Sequence[Entry]) -> None:
        """Note from which round each decision counts, or why it was refused in that round."""
        with self._connection:
            self._connection.executemany(
                "UPDATE decision SET round = ?, refused = ? WHERE id = ?",
                [(entry.round, entry.refused, entry.id) for entry in entries],
            )

    def insert(self, record: RoundRecord) -> None:
        """Write what a round made of everybody; the caller's transaction holds the rest of it.

        A refused decision changed nothing; ``settle`` notes it.
        """
        self._connection.executemany(
            "INSERT INTO standing VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    record.number,
                    standing.client,
                    standing.state,
                    standing.since,
                    standing.rounds,
                    standing.score,
                    standing.evidence,
                    standing.strength,
                    standing.reason,
                    json.dumps(standing.techniques),
                    standing.proposed,
                )
                for standing in record.standings
            ],
        )
        self._connection.executemany(
            "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?)",
            [
                (change.round, change.client, change.before, change.after, change.who, change.why)
                for change in record.changes
                if not change.refused
            ],
        )
        if record.reputation:
            self._connection.execute("DELETE FROM reputation")
            row = record.number, record.reputation
            self._connection.execute("INSERT INTO reputation VALUES (?, ?)", row)

    def standings(
        self, number: int | None = None, client: str | None = None
    ) -> list[tuple[int, Standing]]:
        """Return (round, standing) of one round or of all, of one client or of all."""
        rows = self._connection.execute(
            "SELECT * FROM standing WHERE (?1 IS NULL OR round = ?1) "
            "AND (?2 IS NULL OR client = ?2) ORDER BY round, client",
            (number, client),
        )
        return [
            (
                row["round"],
                Standing(
                    client=row["client"],
                    state=row["state"],
                    since=row["since"],
                    rounds=row["rounds"],
                    score=row["score"],
                    evidence=row["evidence"],
                    strength=row["strength"],
                    reason=row["reason"],
                    techniques=tuple(json.loads(row["techniques"])),
                    proposed=bool(row["proposed"]),
                ),
            )
            for row in rows
        ]

    def changes(self) -> list[Change]:
        """Return every change of a state, in the order of writing."""
        rows = self._connection.execute("SELECT * FROM change ORDER BY round, rowid")
        return [
            Change(
                client=row["client"],
                round=row["round"],
                before=row["before"],
                after=row["after"],
                who=printable(row["who"], _LONGEST),
                why=printable(row["why"], _LONGEST),
            )
            for row in rows
        ]

    def decisions(self) -> list[Entry]:
        """Return every decision, in the order in which they were made; unreadable ones as such."""
        rows = self._connection.execute(
            "SELECT id, CAST(round AS INTEGER), CAST(refused AS BLOB), CAST(client AS BLOB), "
            "CAST(action AS BLOB), CAST(who AS BLOB), CAST(why AS BLOB), CAST(at AS BLOB) "
            "FROM decision ORDER BY id"
        )
        return [
            Entry(key, _decision(*texts), number, _text(refused))
            for key, number, refused, *texts in rows
        ]

    def reputation(self) -> tuple[int, str] | None:
        """Return the round and the JSON of the last reputation; None before the first."""
        row = self._connection.execute("SELECT * FROM reputation").fetchone()
        return None if row is None else (row["round"], row["value"])


def _decision(*texts: bytes) -> Decision:
    """Return the decision in a row that anybody may have written."""
    client, action, who, why, at = map(_text, texts)
    sound = action in ACTIONS and all(_is_utf8(text) for text in texts)
    return (Decision if sound else Unreadable)(client, action, who, why, at)


def _text(raw: bytes) -> str:
    return printable(raw.decode(errors="backslashreplace"), _LONGEST)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
