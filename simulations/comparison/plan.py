"""A grid file becomes a plan: the runs, each with the hash of all that determines it."""

from __future__ import annotations

import hashlib
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quickthorn.server.toml_file import read_toml
from quickthorn.simulations.comparison.splits import read_split, refuse_confusion
from quickthorn.simulations.scenario import Scenario
from quickthorn.strategies.errors import ConfigurationError, UnknownNameError
from quickthorn.strategies.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quickthorn.simulations.comparison.splits import Split

NO_ATTACK = "none"
_SHIPPED = "grids"
_ID_LENGTH = 20  # hexadecimal digits; two of a billion runs agree with probability 1e-7


@dataclass(frozen=True)
class Run:
    """One scenario of a grid.

    Attributes
    ----------
    id
        Hash of the scenario's digest and the version of this package.
    scenario
        What to simulate.
    split
        What the grid calls the division of the data.

    """

    id: str
    scenario: Scenario
    split: str


@dataclass(frozen=True)
class Grid:
    """The ``[grid]`` table: the lists whose product is run.

    Attributes
    ----------
    defense, attack
        Text forms; ``"none"`` among the attacks asks for the runs without one.
    split
        Divisions of the data: the name of a partition, or a table of scenario keys, with a
        ``name`` if the report should not make one of the keys. By default the scenario's own.
    attackers, seed
        Counts of hostile clients, and seeds.
    byzantine
        How many liars the defense assumes: ``"attackers"`` (as many as there are), a number,
        or a list of numbers.

    """

    defense: tuple[str, ...]
    attack: tuple[str, ...] = (NO_ATTACK,)
    split: tuple[str | dict[str, object], ...] = ({},)
    attackers: tuple[int, ...] = (0,)
    byzantine: int | Literal["attackers"] | tuple[int, ...] = "attackers"
    seed: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        """Refuse an empty list, an attack that nobody makes, and attackers who make none."""
        empty = [axis.name for axis in fields(self) if getattr(self, axis.name) == ()]
        if empty:
            msg = f"{', '.join(empty)} in [grid] must not be empty: nothing would be run."
            raise ConfigurationError(msg)
        if set(self.attack) != {NO_ATTACK} and not any(self.attackers):
            msg = (
                "[grid] has attacks and no attackers; add attackers = [...], how many are hostile."
            )
            raise ConfigurationError(msg)
        if set(self.attack) == {NO_ATTACK} and any(self.attackers):
            msg = (
                f"[grid] has attackers = {list(self.attackers)} and no attack; add attack = [...], "
                "or give byzantine, how many the defense assumes, in place of attackers."
            )
            raise ConfigurationError(msg)


@dataclass(frozen=True)
class _GridFile:
    grid: dict[str, object] | tuple[dict[str, object], ...]
    scenario: dict[str, object] = field(default_factory=dict)


def read_grid(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tables of a grid: of a TOML file, of a shipped one by name, or as they are.

    Raises
    ------
    UnknownNameError
        If there is neither such a file nor such a shipped grid.
    ConfigurationError
        If the file is no TOML, or has no grid.

    """
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    if path.suffix == ".toml":
        tables = read_toml(path, "a grid's TOML file")
        if "grid" not in tables:
            msg = f"{path} has no table [grid]; one scenario is run by quickthorn simulate {path}."
            raise ConfigurationError(msg)
        return tables
    if str(source) in shipped_grids():
        place = resources.files(__package__) / _SHIPPED / f"{source}.toml"
        return tomllib.loads(place.read_text(encoding="utf-8"))
    raise UnknownNameError("grid", str(source), (*shipped_grids(), "FILE.toml"))


def shipped_grids() -> tuple[str, ...]:
    """Return the names of the grids that come with the package."""
    folder = resources.files(__package__) / _SHIPPED
    names = (Path(item.name) for item in folder.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".toml"))


def scenarios(
    tables: Mapping[str, Any], settings: Mapping[str, object] | None = None
) -> list[tuple[str, Scenario]]:
    """Return every scenario of a grid file with the name of its split; see ``plan``."""
    whole = read_settings(_GridFile, tables, where="the grid file")
    listed = whole.grid if isinstance(whole.grid, tuple) else (whole.grid,)
    if not listed:
        msg = "grid in the grid file is an empty list: nothing would be run. Add a table [[grid]]."
        raise ConfigurationError(msg)
    grids = [read_settings(Grid, table, where="[grid]") for table in listed]
    own = _without_axes(whole.scenario, "[scenario]")
    fixed = _without_axes(settings or {}, "the settings (--set)")
    base = Scenario.from_table(own, fixed)
    divided = [(grid, list(_splits(grid, base, fixed))) for grid in grids]
    refuse_confusion(split for _, splits in divided for split in splits)
    return [pair for grid, splits in divided for pair in _combinations(grid, splits)]


def plan(
    tables: Mapping[str, Any], settings: Mapping[str, object] | None = None
) -> tuple[Run, ...]:
    """Return the runs of a grid file, each once, all those of the first seed first.

    A run without an attack has no attackers, whatever their number elsewhere in the grid: it
    is the same federation for all of them, and it stands once for each ``byzantine``.

    Parameters
    ----------
    tables
        ``scenario``, keys that all runs share, if there are any, and ``grid``, see ``Grid``; of
        several grids (``[[grid]]``) every run of the first comes before those of the next.
    settings
        Keys of a scenario as text or as values, which count instead of those of the file, also
        of those of its splits.

    Raises
    ------
    UnknownNameError
        For a key, a rule, an attack or a partition that does not exist.
    ConfigurationError
        For a value that cannot be used, for two splits of one name that differ, and for two of
        different names that do not.

    Example
    -------
    >>> grid = {"defense": ["mean", "median"], "attack": ["none", "alie"], "attackers": [2, 4]}
    >>> runs = plan({"scenario": {"rounds": 3}, "grid": grid})
    >>> len(runs), [(run.scenario.attack, run.scenario.attackers) for run in runs[:3]]
    (8, [('none', 0), ('alie', 2), ('none', 0)])

    """
    runs: dict[str, Run] = {}
    for label, scenario in scenarios(tables, settings):
        run = _run(scenario, label)
        twin = runs.setdefault(run.id, run)
        if twin.split != run.split:  # they differ in a key that does nothing here
            msg = (
                f"splits {twin.split!r} and {run.split!r} of the grid give the same runs; "
                "remove one of them."
            )
            raise ConfigurationError(msg)
    return tuple(runs.values())


def _splits(grid: Grid, base: Scenario, fixed: Mapping[str, object]) -> Iterator[Split]:
    for split in grid.split:
        if isinstance(split, dict):
            _without_axes(split, "a split")
        yield read_split(split, base, fixed)


def _combinations(grid: Grid, splits: Iterable[Split]) -> Iterator[tuple[str, Scenario]]:
    """Give the scenario of every combination with the name of its split, seed by seed."""
    for seed, split, defense, attackers, attack in itertools.product(
        grid.seed, splits, grid.defense, grid.attackers, grid.attack
    ):
        hostile = 0 if attack == NO_ATTACK else attackers
        for byzantine in _assumed(grid, attackers):
            scenario = replace(
                split.scenario,
                seed=seed,
                defense=defense,
                attack=attack if hostile else NO_ATTACK,
                attackers=hostile,
                byzantine=byzantine,
            )
            yield split.name, scenario


def _without_axes(table: Mapping[str, object], where: str) -> dict[str, object]:
    """Refuse a key of a scenario that is a list of the grid."""
    owned = sorted({axis.name for axis in fields(Grid)} & set(table))
    if owned:
        msg = f"{owned[0]} stands in {where}; write {owned[0]} = [...] in [grid] instead."
        raise ConfigurationError(msg)
    return dict(table)


def _assumed(grid: Grid, attackers: int) -> tuple[int, ...]:
    if grid.byzantine == "attackers":
        return (attackers,)
    return grid.byzantine if isinstance(grid.byzantine, tuple) else (grid.byzantine,)


def _run(scenario: Scenario, split: str) -> Run:
    determines = f"{version('quickthorn')} {scenario.digest}"
    return Run(hashlib.sha256(determines.encode()).hexdigest()[:_ID_LENGTH], scenario, split)
