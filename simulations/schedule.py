"""How the clients' learning rate changes over the rounds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.settings import read_settings
from quickthorn.strategies.steps import parse_call


class Schedule(Protocol):
    """A function of the round."""

    def factor_at(self, number: int) -> float:
        """Return what the learning rate is multiplied by in round ``number``, from 1."""


@dataclass(frozen=True)
class Constant:
    """The learning rate stays."""

    def factor_at(self, number: int) -> float:
        """Return 1."""
        del number
        return 1.0


@dataclass(frozen=True)
class Staircase:
    """``step``: after every ``every`` rounds the rate is multiplied by ``factor``."""

    every: int
    factor: float = 0.5

    def factor_at(self, number: int) -> float:
        """Return factor ** ⌊(number − 1) / every⌋.

        >>> [Staircase(every=2).factor_at(number) for number in (1, 2, 3)]
        [1.0, 1.0, 0.5]
        """
        return float(self.factor ** ((number - 1) // self.every))


@dataclass(frozen=True)
class Inverse:
    """``inverse``: the rate is divided by 2, 3, … after every ``every`` rounds."""

    every: int

    def factor_at(self, number: int) -> float:
        """Return 1 / (1 + ⌊(number − 1) / every⌋).

        >>> [Inverse(every=1).factor_at(number) for number in (1, 2, 4)]
        [1.0, 0.5, 0.25]
        """
        return 1.0 / (1 + (number - 1) // self.every)


SCHEDULES: dict[str, type[Constant | Staircase | Inverse]] = {
    "constant": Constant,
    "step": Staircase,
    "inverse": Inverse,
}


def parse_schedule(text: str) -> Schedule:
    """Read ``constant``, ``step(every=50, factor=0.5)`` or ``inverse(every=50)``.

    Raises
    ------
    UnknownNameError
        For a schedule or a parameter that does not exist; the near miss is named.
    ConfigurationError
        For a text that cannot be read and for a value outside its range.

    Example
    -------
    >>> parse_schedule("step(every=50)")
    Staircase(every=50, factor=0.5)
    >>> parse_schedule("step(evry=50)")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UnknownNameError: unknown key of step in lr_schedule 'evry'; \
did you mean 'every'? Known: every, factor.

    """
    name, table = parse_call(text, whole=f"lr_schedule {text!r}")
    if name not in SCHEDULES:
        raise UnknownNameError("lr_schedule", name, SCHEDULES)
    schedule = read_settings(SCHEDULES[name], table, where=f"{name} in lr_schedule")
    for field in dataclasses.fields(schedule):
        if not getattr(schedule, field.name) > 0:
            msg = f"{field.name} of lr_schedule must be above 0; got {text!r}."
            raise ConfigurationError(msg)
    return schedule
