"""Do the runs of a grid, and measure who was found, when, and who was wrongly suspected."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.comparison.folder import Folder
from quickthorn.simulations.comparison.plan import plan
from quickthorn.simulations.comparison.pool import LocalCrew, work_through
from quickthorn.simulations.comparison.results import Result
from quickthorn.simulations.comparison.work import is_open
from quickthorn.simulations.record import LOOKS
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from quickthorn.simulations.comparison.folder import Outcome
    from quickthorn.simulations.record import SimulationRecord
    from quickthorn.simulations.scenario import Scenario

    Key = tuple[str, int, str, str, int]  # attack, attackers, division, rule, rounds


@dataclass(frozen=True)
class Line:
    """What an attack came to on one division of the data, under one rule, over the seeds.

    Where nothing else is said, of the runs with quarantine.

    Attributes
    ----------
    attack, attackers, split, defense
        What was run, and how many clients of a run attack.
    seeds, rounds
        How many runs, and how long each.
    auc
        A round of ``LOOKS`` to ``SimulationRecord.auc_after`` it, mean over the seeds; a round
        is not there without hostile clients, and in runs that are shorter.
    found
        For every hostile client of every seed the round that first quarantined it, or None.
    wrongly
        How many honest clients were ever quarantined, over all seeds.
    honest
        How many honest clients there were, over all seeds.
    alarms, honest_rounds
        How often an honest client was quarantined, and in how many client-rounds.
    accuracy, accuracy_observed
        Of the final model, mean over the seeds, with quarantine and without; the second is None
        where that was not run.
    success, success_observed, floor
        The success of a backdoor in these runs, and without the attack.

    """

    attack: str
    attackers: int
    split: str
    defense: str
    seeds: int
    rounds: int
    auc: Mapping[int, float]
    found: tuple[int | None, ...]
    wrongly: int
    honest: int
    alarms: int
    honest_rounds: int
    accuracy: float
    accuracy_observed: float | None
    success: float | None
    success_observed: float | None
    floor: float | None

    @property
    def rounds_to_find(self) -> float | None:
        """Return the median over the hostile clients; None where half of them are not found."""
        never = math.inf
        middle = median([never if n is None else n for n in self.found] or [never])
        return middle if math.isfinite(middle) else None

    def found_by(self, number: int) -> float:
        """Return the share of the hostile clients that were quarantined by round ``number``."""
        return sum(n is not None and n <= number for n in self.found) / len(self.found)

    @property
    def alarms_per_100(self) -> float:
        """Return how often an honest client was quarantined per 100 client-rounds."""
        return 100 * self.alarms / self.honest_rounds


def run_grid(
    tables: Mapping[str, Any],
    folder: Path,
    *,
    workers: int | None = None,
    progress: Callable[[Outcome | None, int], None] | None = None,
) -> tuple[Result, ...]:
    """Do those runs of a grid that ``folder`` does not hold yet; return the results of all.

    Parameters
    ----------
    tables
        As ``comparison.plan.plan`` reads them.
    folder
        Of the runs; the same folder goes on where the last call was left.
    workers
        Processes on this machine; one per core by default.
    progress
        Called with each outcome, at first with None, and how many runs are still to do.

    Raises
    ------
    ConfigurationError
        If the grid or the folder cannot be used.
    RunError
        If the work cannot go on; what was done is kept.

    """
    runs = plan(tables)
    if not any(run.scenario.quarantine for run in runs):
        msg = "no run of the grid has quarantine = true, so that nothing would be measured; add it."
        raise ConfigurationError(msg)
    place, tell = Folder(folder), progress or (lambda _outcome, _left: None)
    todo = [run for run in runs if is_open(place.load(run.id), retry=True)]
    tell(None, len(todo))
    crew = LocalCrew(place, workers or len(os.sched_getaffinity(0)), retry=True)
    with crew:
        for number, outcome in enumerate(work_through(crew, place, todo), start=1):
            tell(outcome, len(todo) - number)
    return tuple(Result(run, place.load(run.id)) for run in runs)


def reseeded(tables: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the tables of a grid with these seeds in place of its own.

    >>> reseeded({"scenario": {}, "grid": {"defense": ["mean"], "seed": [100]}}, [7])["grid"]
    [{'defense': ['mean'], 'seed': [7]}]
    """
    grids = tables["grid"] if isinstance(tables["grid"], list) else [tables["grid"]]
    return {**tables, "grid": [{**grid, "seed": list(seeds)} for grid in grids]}


def measure(records: Iterable[SimulationRecord]) -> list[Line]:
    """Measure the runs with quarantine, beside those without, in the order of the records."""
    groups: dict[Key, dict[bool, list[SimulationRecord]]] = {}
    for record in records:
        told = record.scenario
        key = told.attack, told.attackers, division(told), told.defense, told.rounds
        groups.setdefault(key, {}).setdefault(told.quarantine, []).append(record)
    return [
        _line(key, sides[True], sides.get(False, []))
        for key, sides in groups.items()
        if True in sides
    ]


def division(scenario: Scenario) -> str:
    """Return what the page calls the division of the data.

    >>> from quickthorn.simulations.scenario import Scenario
    >>> division(Scenario()), division(Scenario(partition="dirichlet", alpha=0.1))
    ('IID', 'Dirichlet 0.1')
    """
    if scenario.partition == "iid":
        return "IID"
    detail = f" {scenario.alpha:g}" if scenario.partition == "dirichlet" else ""
    return f"{scenario.partition.capitalize()}{detail}"


def _line(
    key: Key,
    records: Sequence[SimulationRecord],
    observed: Sequence[SimulationRecord],
) -> Line:
    attack, attackers, split, defense, rounds = key
    honest = {
        (record.scenario.seed, client)
        for record in records
        for client in record.trails
        if client not in record.hostile
    }
    alarms = [
        (record.scenario.seed, change.client)
        for record in records
        for change in record.exclusions
        if change.client not in record.hostile
    ]
    return Line(
        attack,
        attackers,
        split,
        defense,
        len(records),
        rounds,
        auc={n: auc for n in LOOKS if (auc := _mean(r.auc_after(n) for r in records)) is not None},
        found=tuple(r.quarantined.get(client) for r in records for client in r.hostile),
        wrongly=len(set(alarms)),
        honest=len(honest),
        alarms=len(alarms),
        honest_rounds=len(honest) * rounds,
        accuracy=fmean(record.final for record in records),
        accuracy_observed=_mean(record.final for record in observed),
        success=_mean(record.attack_success for record in records),
        success_observed=_mean(record.attack_success for record in observed),
        floor=_mean(record.attack_success_floor for record in records),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are there; None where none is."""
    there = [value for value in values if value is not None]
    return fmean(there) if there else None
