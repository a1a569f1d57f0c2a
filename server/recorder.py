"""Write the record of a run, and say on the log what a person should see at once."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from quickthorn.server.store import RunStore
from quickthorn.server.text import printable
from quickthorn.strategies.scoring import explain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.server.entries import RoundRecord
    from quickthorn.strategies.reputation import Change

# A child of Flower's logger: the lines appear where the ServerApp's own do.
LOG = logging.getLogger("flwr.quickthorn")


def fresh_folder() -> Path:
    """Return a folder for a run that was given none: ``runs/`` and the time."""
    return Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")


class Recorder:
    """The record of one run, begun when there is something to write."""

    def __init__(self, folder: Path, meta: Mapping[str, str]) -> None:
        """Keep what the record begins with; nothing is written yet."""
        self._folder = folder
        self._meta = dict(meta)
        self._store: RunStore | None = None

    @property
    def store(self) -> RunStore:
        """Return the open record, after beginning it if need be."""
        if self._store is None:
            started = datetime.now(UTC).isoformat(timespec="seconds")
            self._store = RunStore.create(self._folder, {**self._meta, "started": started})
        return self._store

    def open(self) -> None:
        """Begin the record now; raises a ``ConfigurationError`` if the folder holds another."""
        _ = self.store

    def close(self) -> None:
        """Close the record."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def add_round(self, record: RoundRecord) -> None:
        """Write a training round, then log it: who was refused and who stands out."""
        self.store.add_round(record)
        refused = [verdict for verdict in record.verdicts if not verdict.accepted]
        LOG.info(
            "round %d: %s in %.1f s; %d asked, %d refused%s",
            record.number,
            record.status,
            record.seconds,
            record.asked,
            len(refused),
            f" ({record.reason})" if record.reason else "",
        )
        for verdict in refused:
            if verdict.code not in {"unsolicited", "duplicate"}:
                LOG.warning("round %d: %s: %s", record.number, verdict.client, verdict.reason)
        if record.unsolicited:
            text = "round %d: %d replies that nobody asked for, or answered before, were refused"
            LOG.warning(text, record.number, record.unsolicited)
        for client, reason in explain(record.scores).items():
            LOG.warning("round %d: %s: %s", record.number, client, reason)
        for change in record.changes:
            _log_change(change)

    def add_server_evaluation(self, number: int, metrics: Mapping[str, object]) -> None:
        """Write what the server's own evaluation found; lists and infinities are left out."""
        figures = {
            name: float(value)
            for name, value in metrics.items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        }
        self.store.add_evaluation(number, "server", figures)


def _log_change(change: Change) -> None:
    level = logging.INFO if change.after == "healthy" else logging.WARNING
    moved = change.after if change.before == change.after else f"{change.before} -> {change.after}"
    text = "round %d: %s: %s, by %s: %s"
    who, why = printable(change.who), printable(change.why, 2000)
    LOG.log(level, text, change.round, change.client, moved or "unknown", who, why)
