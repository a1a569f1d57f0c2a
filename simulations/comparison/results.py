"""A run and what became of it: one tidy row, in CSV and in Parquet."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from quickthorn.simulations.comparison.folder import Folder, write_whole
from quickthorn.simulations.record import STRIKING, SimulationRecord
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from quickthorn.simulations.comparison.folder import Outcome
    from quickthorn.simulations.comparison.plan import Run

Status = Literal["done", "failed", "interrupted", "not run"]


@dataclass(frozen=True)
class Result:
    """A run of the plan with its outcome, if it has one."""

    run: Run
    outcome: Outcome | None

    @property
    def status(self) -> Status:
        """Return what became of the run."""
        return "not run" if self.outcome is None else self.outcome.status

    @property
    def error(self) -> str:
        """Return why it is not done, in words."""
        return "" if self.outcome is None else self.outcome.error

    @cached_property
    def record(self) -> SimulationRecord | None:
        """Return the full record of a run that is done."""
        if self.outcome is None or self.outcome.record is None:
            return None
        return SimulationRecord.from_json(self.outcome.record)

    def row(self) -> dict[str, Any]:
        """Return the run as one row: its scenario, its figures, its status.

        ``seconds_per_round``, ``defense_seconds_per_round`` and ``false_alarms`` are as in
        ``round_seconds``, ``defense_seconds`` and ``false_alarms``.
        """
        row: dict[str, Any] = {"run": self.run.id, "status": self.status, "split": self.run.split}
        row.update(self.run.scenario.to_table())
        row.update(dict.fromkeys(_FIGURES))
        if self.record is not None:
            row.update(_figures(self.record))
        row["error"] = self.error
        return row


def read_records(path: Path) -> Iterator[SimulationRecord]:
    """Give the records of all runs in a folder that are done, of whatever grid.

    Raises
    ------
    ConfigurationError
        If it is no folder of a comparison.

    """
    if not (path / "runs").is_dir():
        msg = f"{path} holds no runs; give the folder that a comparison wrote to (its --out)."
        raise ConfigurationError(msg)
    folder = Folder(path)
    for run in folder.runs():
        outcome = folder.load(run)
        if outcome is not None and outcome.record is not None:
            yield SimulationRecord.from_json(outcome.record)


_FIGURES = {
    "final": pa.float64(),
    "peak": pa.float64(),
    "worst_recall": pa.float64(),
    "attack_success": pa.float64(),
    "attack_success_floor": pa.float64(),
    "detection_auc": pa.float64(),
    "false_alarms": pa.float64(),
    "unchanged_rounds": pa.int64(),
    "unforged_rounds": pa.int64(),
    "seconds": pa.float64(),
    "seconds_per_round": pa.float64(),
    "defense_seconds_per_round": pa.float64(),
    "model_digest": pa.string(),
}


def _figures(record: SimulationRecord) -> dict[str, Any]:
    return {
        "final": record.final,
        "peak": record.peak,
        "worst_recall": record.worst_recall,
        "attack_success": record.attack_success,
        "attack_success_floor": record.attack_success_floor,
        "detection_auc": record.detection_auc,
        "false_alarms": false_alarms(record),
        "unchanged_rounds": len(record.unchanged_rounds),
        "unforged_rounds": len(record.unforged_rounds),
        "seconds": record.seconds["total"],
        "seconds_per_round": round_seconds(record),
        "defense_seconds_per_round": defense_seconds(record),
        "model_digest": record.model_digest,
    }


def false_alarms(record: SimulationRecord) -> float | None:
    """Return the share of honest clients that the server watches at the end, or left out."""
    honest = [trail for client, trail in record.trails.items() if client not in record.hostile]
    return sum(trail.state in STRIKING for trail in honest) / len(honest) if honest else None


def round_seconds(record: SimulationRecord) -> float:
    """Return what a round takes in all, the runs without the attack (for its floor) left out."""
    own = record.seconds["total"] - record.seconds.get("floor", 0.0)
    return own / record.scenario.rounds


def defense_seconds(record: SimulationRecord) -> float | None:
    """Return the seconds per round of admission, aggregation, scoring and own training.

    The last is the server's, where a defense asks for its own update. None where the stages
    are not known, as of a run over Flower's messages.
    """
    if not record.stages_known:
        return None
    stages = ("admit", "aggregate", "score", "root")
    return sum(record.seconds.get(stage, 0.0) for stage in stages) / record.scenario.rounds


def write_table(results: Sequence[Result], folder: Path) -> None:
    """Write ``results.csv`` and ``results.parquet``: a row per run of the plan."""
    rows = [result.row() for result in results]
    fields = [
        pa.field(name, _FIGURES.get(name) or pa.array([rows[0][name]]).type) for name in rows[0]
    ]
    table = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    text, binary = io.BytesIO(), io.BytesIO()
    pyarrow.csv.write_csv(table, text)
    pyarrow.parquet.write_table(table, binary)
    write_whole(folder / "results.csv", text.getvalue())
    write_whole(folder / "results.parquet", binary.getvalue())
