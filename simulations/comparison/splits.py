"""A split of a grid: what it is called, and the federation that it makes of a scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quickthorn.simulations.scenario import Scenario
from quickthorn.strategies.errors import ConfigurationError

Source = str | Mapping[str, object]

_NAME = "name"
# How a split is called that differs in these keys.
_SIGNS = {"alpha": "α", "gamma": "γ", "client_momentum": "β"}


@dataclass(frozen=True)
class Split:
    """A division of the data.

    Attributes
    ----------
    source
        As it stands in the grid.
    written, name
        What it is called there, and in the results, where the name tells overruled keys too.
    scenario
        What all runs of the grid share, divided so.
    overruled
        Its keys of which the settings have another value, with that value.

    """

    source: Source
    written: str
    name: str
    scenario: Scenario
    overruled: Mapping[str, object]


def read_split(source: Source, base: Scenario, settings: Mapping[str, object]) -> Split:
    """Return ``base`` with the keys of a split, except those in ``settings``.

    Parameters
    ----------
    source
        The name of a partition, or a table of keys of a scenario, with a ``name`` or without.
    base
        What all runs of the grid share; it holds the settings.
    settings
        Keys of a scenario that count for every split.

    Example
    -------
    >>> split = read_split({"partition": "dirichlet", "alpha": 0.3}, Scenario(rounds=5), {})
    >>> split.name, split.scenario.partition, split.scenario.rounds
    ('dirichlet α=0.3', 'dirichlet', 5)

    """
    table = {"partition": source} if isinstance(source, str) else source
    keys = {key: value for key, value in table.items() if key != _NAME}
    shared = base.to_table()
    now = {key: shared[key] if key in settings else value for key, value in keys.items()}
    overruled = {key: value for key, value in now.items() if value != keys[key]}
    if given := str(table.get(_NAME, "")):
        written, name = given, " ".join([given, *_words(overruled)])
    else:
        written, name = (" ".join(_words(told)) or base.partition for told in (keys, now))
    return Split(source, written, name, Scenario.from_table({**shared, **now}), overruled)


def refuse_confusion(splits: Iterable[Split]) -> None:
    """Refuse two splits of one name that differ, and two names for one: results go by name.

    Raises
    ------
    ConfigurationError
        Which names both.

    """
    by_name: dict[str, Split] = {}
    by_scenario: dict[Scenario, Split] = {}
    for split in splits:
        other = by_name.setdefault(split.name, split)
        if other.scenario != split.scenario:
            msg = (
                f"two splits of the grid are called {split.name!r} and differ: "
                f"{other.source!r} and {split.source!r}. Give each a name of its own."
            )
            raise ConfigurationError(msg)
        twin = by_scenario.setdefault(split.scenario, split)
        if (twin.written, twin.name) != (split.written, split.name):
            raise ConfigurationError(_same(twin, split))


def _same(first: Split, second: Split) -> str:
    words = f"splits {first.written!r} and {second.written!r} of the grid are the same"
    settings = {**first.overruled, **second.overruled}
    if not settings:
        return f"{words}; remove one of them."
    values = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{words} where {values} is set for all; leave that out, or remove one of them."


def _words(keys: Mapping[str, object]) -> list[str]:
    partition = [str(keys["partition"])] if "partition" in keys else []
    return partition + [f"{_SIGNS.get(key, key)}={keys[key]}" for key in keys if key != "partition"]
