"""Cells over seeds, with intervals: what the report shows, before anybody asks a question."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from scipy.special import stdtrit

from quickthorn.simulations.comparison.plan import NO_ATTACK
from quickthorn.simulations.comparison.results import false_alarms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from quickthorn.simulations.comparison.results import Result
    from quickthorn.simulations.record import SimulationRecord

CONFIDENCE = 0.95
FEWEST_SEEDS = 3  # an interval over fewer would be wider than the scale


class Condition(NamedTuple):
    """How many clients there are, how many are hostile, and how many the defense assumes."""

    clients: int
    attackers: int
    byzantine: int


class Key(NamedTuple):
    """One cell: all that a run has but its seed."""

    condition: Condition
    split: str
    defense: str
    attack: str


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes
    ----------
    mean
        Of the values.
    half
        Half the width of the 95 % t-interval; None for fewer than 3 seeds.
    seeds
        How many values there are.

    """

    mean: float
    half: float | None
    seeds: int

    @property
    def low(self) -> float:
        """Return the lower end of the interval, or the mean where there is none."""
        return self.mean - (self.half or 0.0)

    @property
    def high(self) -> float:
        """Return the upper end of the interval, or the mean where there is none."""
        return self.mean + (self.half or 0.0)


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean with its interval, ``mean ± t s / √n`` (Student 1908).

    >>> estimate([0.5, 0.75, 1.0])
    Estimate(mean=0.75, half=0.62..., seeds=3)
    >>> estimate([0.9, 0.8]).half
    """
    n = len(values)
    mean = fmean(values)
    if n < FEWEST_SEEDS:
        return Estimate(mean, None, n)
    factor = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))  # the quantile of Student's t
    # statistics.stdev, in rational numbers, takes most of the time that the page takes.
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return Estimate(mean, factor * math.sqrt(variance / n), n)


def figure_of(record: SimulationRecord, name: str) -> float | None:
    """Return an attribute of a record (``final``, ``peak`` …), or its ``false_alarms``."""
    value = false_alarms(record) if name == "false_alarms" else getattr(record, name)
    return None if value is None else float(value)


@dataclass(frozen=True)
class Cell:
    """The runs of one key.

    Attributes
    ----------
    by_seed
        Seed to the record of the run that is done.
    failed, missing
        How many runs failed, and how many were not run (to their end).

    """

    by_seed: Mapping[int, SimulationRecord]
    failed: int
    missing: int

    @property
    def planned(self) -> int:
        """Return how many runs the grid asks for."""
        return len(self.by_seed) + self.failed + self.missing

    @property
    def is_whole(self) -> bool:
        """Return whether all of them are done."""
        return not (self.failed or self.missing)

    def of(self, figure: str) -> Estimate | None:
        """Return a figure of the runs (see ``figure_of``), or None if no run has it."""
        values = [figure_of(record, figure) for record in self.by_seed.values()]
        present = [value for value in values if value is not None]
        return estimate(present) if present else None


@dataclass(frozen=True)
class Summary:
    """All cells of a comparison, and its axes in the order of the grid."""

    cells: Mapping[Key, Cell]
    conditions: tuple[Condition, ...]
    splits: tuple[str, ...]
    defenses: tuple[str, ...]
    attacks: tuple[str, ...]

    def cell(self, condition: Condition, split: str, defense: str, attack: str) -> Cell | None:
        """Return a cell; the one without an attack belongs to every number of attackers."""
        if attack == NO_ATTACK:
            condition = condition._replace(attackers=0)
        return self.cells.get(Key(condition, split, defense, attack))

    def most_seeds(self, condition: Condition, split: str, attack: str) -> int:
        """Return with how many seeds the grid runs the defense that has most of them."""
        if attack == NO_ATTACK:
            condition = condition._replace(attackers=0)
        return self._seeds.get((condition, split, attack), 0)

    @cached_property
    def _seeds(self) -> dict[tuple[Condition, str, str], int]:
        found: dict[tuple[Condition, str, str], int] = defaultdict(int)
        for key, cell in self.cells.items():
            place = key.condition, key.split, key.attack
            found[place] = max(found[place], cell.planned)
        return found

    def splits_of(self, condition: Condition, attack: str = NO_ATTACK) -> tuple[str, ...]:
        """Return the splits on which the grid asks for an attack, or for any where none is named.

        So the runs without an attack are those of the splits that are attacked.
        """
        asked = self._asked.get(condition, ())
        have = {split for name, split in asked if attack in {name, NO_ATTACK}}
        return tuple(split for split in self.splits if split in have)

    def asked(
        self, condition: Condition, splits: Sequence[str] = ()
    ) -> tuple[tuple[str, str], ...]:
        """Return each (attack, split) under which the grid asks for some defense.

        Those without an attack are among them only where the condition has no attackers.
        """
        asked = self._asked.get(condition, ())
        return tuple(pair for pair in product(self.attacks, splits or self.splits) if pair in asked)

    @cached_property
    def _asked(self) -> dict[Condition, set[tuple[str, str]]]:
        found: dict[Condition, set[tuple[str, str]]] = defaultdict(set)
        for key in self.cells:
            found[key.condition].add((key.attack, key.split))
        return found

    @property
    def hostile(self) -> tuple[str, ...]:
        """Return the attacks that are attacks."""
        return tuple(attack for attack in self.attacks if attack != NO_ATTACK)


def summarize(results: Sequence[Result]) -> Summary:
    """Sort the results into cells."""
    groups: dict[Key, list[Result]] = defaultdict(list)
    for result in results:
        scenario = result.run.scenario
        condition = Condition(scenario.clients, scenario.attackers, scenario.byzantine)
        groups[Key(condition, result.run.split, scenario.defense, scenario.attack)].append(result)
    attacked = {key.condition for key in groups if key.attack != NO_ATTACK}
    return Summary(
        cells={key: _cell(members) for key, members in groups.items()},
        conditions=tuple(sorted(attacked or {key.condition for key in groups})),
        splits=_unique(key.split for key in groups),
        defenses=_unique(key.defense for key in groups),
        attacks=_unique(key.attack for key in groups),
    )


def _cell(results: Sequence[Result]) -> Cell:
    records = {
        result.run.scenario.seed: result.record for result in results if result.record is not None
    }
    failed = sum(result.status == "failed" for result in results)
    return Cell(records, failed, len(results) - len(records) - failed)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
