"""The record of a run: one SQLite file that explains every model the run published.

Written in one transaction per round, before the model leaves the server; read by the
commands and, later, by a dashboard. ``docs/reference/record.md`` lists the tables.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.server.entries import FILE_NAME, FORMAT, SCHEMA, Participant
from quickthorn.server.ledger import Ledger
from quickthorn.server.text import printable
from quickthorn.strategies.errors import ConfigurationError, RunError
from quickthorn.strategies.updates import Score, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from quickthorn.server.entries import RoundRecord

_LOCK_SECONDS = 60.0  # a reader holds the file for milliseconds


class RunStore:
    """The record of one run, open for writing (``create``) or for reading (``open``).

    Attributes
    ----------
    folder
        Of the run.
    ledger
        The tables about reputation.

    Example
    -------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> from quickthorn.server.entries import RoundRecord
    >>> with RunStore.create(folder, {"defense": "median"}) as store:
    ...     store.add_round(RoundRecord(1, 0.5, "aggregated", "", 3, 0, "ab12"))
    >>> with RunStore.open(folder) as store:
    ...     store.rounds()[0]["status"], store.meta()["defense"]
    ('aggregated', 'median')

    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, *, ours: bool = False) -> None:
        """Hold an open connection; use ``create`` or ``open``."""
        self.folder = folder
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._ours = ours  # whether we began the record, and therefore end it
        self.ledger = Ledger(connection)

    @classmethod
    def create(cls, folder: Path, meta: Mapping[str, str]) -> RunStore:
        """Start the record of a new run in ``folder``, which is made if need be.

        Raises
        ------
        ConfigurationError
            If the folder already holds a run: nothing is ever overwritten.

        """
        path = folder / FILE_NAME
        if path.exists():
            msg = f"{folder} already holds the record of a run; choose another run_dir or move it."
            raise ConfigurationError(msg)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"cannot make the folder {folder}: {error.strerror}; choose another run_dir."
            raise ConfigurationError(msg) from error
        # Under another name until it is whole: whoever watches never sees half a record.
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        connection = sqlite3.connect(partial)
        connection.executescript(SCHEMA)
        with connection:
            rows = {"format": FORMAT, **meta}.items()
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        connection.close()
        partial.rename(path)
        # A grid's callbacks may come from another thread than the one that made the strategy.
        connection = sqlite3.connect(path, check_same_thread=False, timeout=_LOCK_SECONDS)
        # With a log beside it a reader, however slow, never holds up the server.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return cls(connection, folder, ours=True)

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> RunStore:
        """Open the record in ``folder`` for reading, or beside the server for decisions.

        Parameters
        ----------
        folder
            Of the run.
        write
            Whether decisions are to be added.

        Raises
        ------
        RunError
            If there is none, or it is of another format.

        """
        path = Path(folder) / FILE_NAME
        if not path.is_file():
            msg = f"{folder} holds no run: {FILE_NAME} is missing. Give the folder of a run."
            raise RunError(msg)
        mode = "rw" if write else "ro"
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=_LOCK_SECONDS
        )
        store = cls(connection, Path(folder))
        try:
            found = store.meta().get("format")
        except sqlite3.DatabaseError as error:
            connection.close()
            busy = error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
            fault = "cannot be read just now" if busy else "is no record of a run"
            msg = f"{path} {fault}: {error}."
            raise RunError(msg) from error
        if found != FORMAT:
            connection.close()
            msg = (
                f"{path} has format {found}, but {FORMAT} is needed; use the version that wrote it."
            )
            raise RunError(msg)
        return store

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; everything is on disk already.

        Whoever began the record notes that it has ended, and leaves one file behind, unless a
        reader is at it just then.
        """
        if self._ours:
            self._ours = False
            with contextlib.suppress(sqlite3.Error):  # a full or broken disk, or a reader
                with self._connection:
                    row = "ended", _now()
                    self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def add_clients(self, clients: Sequence[Participant]) -> None:
        """Note who took part; a client whose node id changed is updated."""
        with self._connection:
            self._connection.executemany(
                "INSERT INTO client VALUES (?, ?, ?) ON CONFLICT (id) "
                "DO UPDATE SET name = excluded.name, node = excluded.node",
                [(client.id, client.name, str(client.node)) for client in clients],
            )

    def add_round(self, record: RoundRecord) -> None:
        """Write one training round, all of it or nothing."""
        accepted = sum(verdict.accepted for verdict in record.verdicts)
        with self._connection:
            self._connection.execute(
                "INSERT INTO round VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.number,
                    _now(),
                    record.seconds,
                    record.status,
                    record.reason,
                    record.asked,
                    accepted,
                    record.unsolicited,
                    record.model,
                ),
            )
            self._insert_verdicts(record.number, "train", record.verdicts)
            self._connection.executemany(
                "INSERT INTO score VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        record.number,
                        score.client,
                        score.signal,
                        score.value,
                        score.z,
                        score.side,
                        score.reason,
                    )
                    for score in record.scores
                ],
            )
            self._connection.executemany(
                "INSERT INTO influence VALUES (?, ?, ?)",
                [(record.number, client, share) for client, share in record.influence.items()],
            )
            self._insert_metrics(record.number, "train", record.metrics)
            self.ledger.insert(record)

    def add_evaluation(
        self,
        number: int,
        source: str,
        metrics: Mapping[str, float],
        verdicts: Sequence[Verdict] = (),
    ) -> None:
        """Write the metrics of round ``number`` as ``source`` (clients or server) saw them."""
        with self._connection:
            self._insert_verdicts(number, source, verdicts)
            self._insert_metrics(number, source, metrics)

    def meta(self) -> dict[str, str]:
        """Return what the run was started with."""
        return {row["key"]: row["value"] for row in self._rows("SELECT * FROM meta")}

    def clients(self) -> list[Participant]:
        """Return everybody who took part, by name, in which control characters are escaped."""
        rows = self._rows("SELECT * FROM client ORDER BY name, id")
        return [Participant(row["id"], printable(row["name"]), int(row["node"])) for row in rows]

    def rounds(self) -> list[sqlite3.Row]:
        """Return one row per training round, in order."""
        return self._rows("SELECT * FROM round ORDER BY number")

    def verdicts(
        self, number: int | None = None, client: str | None = None
    ) -> list[tuple[int, str, Verdict]]:
        """Return (round, phase, verdict) of one round or all, one client or all, as written."""
        rows = self._rows(
            "SELECT * FROM verdict WHERE (?1 IS NULL OR round = ?1) "
            "AND (?2 IS NULL OR client = ?2) ORDER BY round, rowid",
            number,
            client,
        )
        return [
            (
                row["round"],
                row["phase"],
                Verdict(
                    row["client"],
                    bool(row["accepted"]),
                    row["code"],
                    row["reason"],
                    tuple(json.loads(row["ignored"])),
                ),
            )
            for row in rows
        ]

    def scores(
        self, number: int | None = None, client: str | None = None
    ) -> list[tuple[int, Score]]:
        """Return (round, score) of one round or of all, of one client or of all."""
        rows = self._rows(
            "SELECT * FROM score WHERE (?1 IS NULL OR round = ?1) "
            "AND (?2 IS NULL OR client = ?2) ORDER BY round, client, signal",
            number,
            client,
        )
        names = ("client", "signal", "value", "z", "reason", "side")
        return [(row["round"], Score(*(row[name] for name in names))) for row in rows]

    def influence(self, number: int) -> dict[str, float]:
        """Return client to share of one round; empty where the rule has no such notion."""
        rows = self._rows("SELECT * FROM influence WHERE round = ? ORDER BY client", number)
        return {row["client"]: row["share"] for row in rows}

    def metrics(self, source: str) -> dict[int, dict[str, float]]:
        """Return round to the metrics that ``source`` reported."""
        found: dict[int, dict[str, float]] = {}
        for row in self._rows("SELECT * FROM metric WHERE source = ? ORDER BY round", source):
            found.setdefault(row["round"], {})[row["name"]] = row["value"]
        return found

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def _insert_verdicts(self, number: int, phase: str, verdicts: Sequence[Verdict]) -> None:
        self._connection.executemany(
            "INSERT INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    number,
                    phase,
                    verdict.client,
                    verdict.accepted,
                    verdict.code,
                    verdict.reason,
                    json.dumps(verdict.ignored),
                )
                for verdict in verdicts
            ],
        )

    def _insert_metrics(self, number: int, source: str, metrics: Mapping[str, float]) -> None:
        self._connection.executemany(
            "INSERT INTO metric VALUES (?, ?, ?, ?)",
            [(number, source, name, value) for name, value in metrics.items()],
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
