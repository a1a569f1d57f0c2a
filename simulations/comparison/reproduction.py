"""Published tables beside ours, from the folders of their grids, as a page of the documentation.

The page begins with the command that writes it. A table without a folder is shown as not run.
"""

from __future__ import annotations

import math
import sys
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, TypeAlias

from scipy.special import stdtrit

from quickthorn.simulations.comparison.plan import read_grid, scenarios
from quickthorn.simulations.comparison.results import read_records
from quickthorn.simulations.comparison.summary import CONFIDENCE
from quickthorn.strategies.errors import UnknownNameError
from quickthorn.strategies.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from quickthorn.simulations.record import SimulationRecord
    from quickthorn.simulations.scenario import Scenario

# MNIST has to have a place, and no result depends on it.
_ANYWHERE = "."

# (defense, attack, split) to seed to score, in percent.
Scores: TypeAlias = "dict[tuple[str, str, str], dict[int, float]]"

TABLES = ("table_a", "table_b")
_GRIDS = "../../simulations/comparison/grids"  # as seen from the page
_SEEDS = 3  # of a published mean with a ±
POINTS = 3.0  # a reproduced mean lies within these, or within the published ±, the wider


@dataclass(frozen=True)
class PublishedCell:
    """A published mean, its ± (None where there is none), and the runs that it stands for."""

    mean: float
    defense: str
    attack: str
    split: str
    spread: float | None = None


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table: as many cells as the table has columns.

    ``counts`` is False where ours is another rule, shown beside it and not meant to agree.
    """

    name: str
    cells: tuple[PublishedCell, ...]
    counts: bool = True


@dataclass(frozen=True)
class PublishedTable:
    """A published table, as ``published/*.toml`` has it.

    Attributes
    ----------
    title, source, setting
        For people.
    last
        A score is the mean of so many evaluations at the end of a run.
    columns, row
        The table itself.

    """

    title: str
    source: str
    setting: str
    last: int
    columns: tuple[str, ...]
    row: tuple[PublishedRow, ...]


def published(name: str) -> PublishedTable:
    """Read a published table that comes with the package."""
    place = resources.files(__package__) / "published" / f"{name}.toml"
    table = tomllib.loads(place.read_text(encoding="utf-8"))
    return read_settings(PublishedTable, table, where=f"the published {name}")


def page(records: Mapping[str, Iterable[SimulationRecord]]) -> str:
    """Return the page: every published table with our means beside it.

    Parameters
    ----------
    records
        Table to records; those of other scenarios than its grid holds are passed over.

    """
    parts = [_PREFACE]
    for name in TABLES:
        table = published(name)
        scores = _scores(name, records.get(name, ()), table.last)
        parts.append(_section(name, table, scores))
    return "\n".join(parts)


_PREFACE = f"""# Reproduction

Generated; do not edit, but write it anew, in the top folder of the repository:

```
python -m quickthorn.simulations.comparison.reproduction \\
    table_a=docs/reproduction table_b=docs/reproduction > docs/explanation/reproduction.md
```

The runs lie in `docs/reproduction/`. With MNIST in FOLDER,
`quickthorn compare table_a --set data_dir=FOLDER --out docs/reproduction` goes on with them, and
the same for `table_b`. One run takes about 20 minutes of one core.

Every cell is the published mean and ours, in % of test accuracy, over the last evaluations of
each run; ± is the standard deviation over seeds, where there are several.
✓: ours lies within {POINTS:g} points of the published mean, or inside its ± where that is wider.
✗: it does not. –: not run. Below a table stands how far apart the two are where they do not
agree, and how far seeds alone can part our mean and theirs: in {CONFIDENCE:.0%} of cases, with as
many runs as there are, by the published ± (Student's t).

Their Krum adds fourth powers of distances, and so does ours; the row of Krum with the squares of
the paper, in [the table of mimic](#mimic-on-iid-data-and-on-sorted-shards), has no mark. What is
known to differ otherwise: the published code looks for mimic's target along one power iteration
from a random vector and takes the largest projection, and here, as in the paper, along the
direction of largest variance, by absolute value. The geometric median is converged here and
stopped after 8 steps there. With momentum, whoever flips signs or labels keeps one as the honest
do; there he has none. All clients there drop the same units, in every step of 30 alike, since
their simulator puts torch's generator back after each client; here every client draws anew in
every round.
"""


def is_reproduced(cell: PublishedCell, ours: float) -> bool:
    """Tell whether our mean, in percent, is close enough to the published one.

    >>> is_reproduced(PublishedCell(90.0, "krum", "mimic", "iid", spread=5.0), 85.5)
    True
    """
    return abs(ours - cell.mean) <= max(POINTS, cell.spread or 0.0)


@cache
def _splits(name: str) -> dict[Scenario, str]:
    """Return the scenarios of a table's grid and what their splits are called."""
    return {told: label for label, told in scenarios(read_grid(name), {"data_dir": _ANYWHERE})}


def _scores(name: str, records: Iterable[SimulationRecord], last: int) -> Scores:
    splits = _splits(name)
    found: Scores = {}
    for record in records:
        split = splits.get(replace(record.scenario, data_dir=_ANYWHERE))
        if split is not None:
            key = (record.scenario.defense, record.scenario.attack, split)
            score = 100 * fmean(record.accuracy[-last:])
            found.setdefault(key, {})[record.scenario.seed] = score
    return found


def _section(name: str, table: PublishedTable, scores: Scores) -> str:
    lines = ["| | " + " | ".join(table.columns) + " |", "| --- |" + " --- |" * len(table.columns)]
    done, apart = 0, []
    for row in table.row:
        texts = []
        for cell, column in zip(row.cells, table.columns, strict=True):
            ours = list(scores.get((cell.defense, cell.attack, cell.split), {}).values())
            texts.append(_cell(cell, ours, marked=row.counts))
            done += row.counts and bool(ours)
            if row.counts and ours and not is_reproduced(cell, fmean(ours)):
                apart.append(f"- {row.name}, {column}: {_difference(cell, ours)}")
        lines.append(f"| {row.name} | " + " | ".join(texts) + " |")
    cells = sum(len(row.cells) for row in table.row if row.counts)
    return (
        f"## {table.title}\n\n{table.setting}. Source: {table.source}. "
        f"Ours: the grid [`{name}`]({_GRIDS}/{name}.toml).\n\n"
        f"Of {cells} cells {done} have been run, and {done - len(apart)} of these agree.\n\n"
        + "\n".join(lines)
        + ("\n\nWhat does not agree:\n\n" + "\n".join(apart) if apart else "")
        + "\n"
    )


def _cell(cell: PublishedCell, ours: Sequence[float], *, marked: bool) -> str:
    spread = "" if cell.spread is None else f" ± {cell.spread:g}"
    if not ours:
        return f"{cell.mean:g}{spread} → –"
    mark = (" ✓" if is_reproduced(cell, fmean(ours)) else " ✗") if marked else ""
    own = f" ± {stdev(ours):.1f}" if len(ours) > 1 else ""
    return f"{cell.mean:g}{spread} → **{fmean(ours):.1f}**{own}{mark}"


def _difference(cell: PublishedCell, ours: Sequence[float]) -> str:
    """Return how far we are off, and whether the published spread over seeds can explain it."""
    off = fmean(ours) - cell.mean
    told = f"{abs(off):.1f} points {'above' if off > 0 else 'below'}"
    if cell.spread is None:
        return f"{told}; no spread was published."
    factor = float(stdtrit(_SEEDS - 1, (1 + CONFIDENCE) / 2))  # the quantile of Student's t
    reach = factor * cell.spread * math.sqrt(1 / len(ours) + 1 / _SEEDS)
    verdict = "may explain" if abs(off) <= reach else "do not explain"
    return f"{told}; seeds {verdict} it, which part the two by up to {reach:.1f}."


def main(arguments: Sequence[str]) -> None:
    """Print the page for arguments ``table=FOLDER``."""
    pairs = dict(argument.partition("=")[::2] for argument in arguments)
    unknown = sorted(set(pairs) - set(TABLES))
    if unknown:
        raise UnknownNameError("table", unknown[0], TABLES)
    found = {name: read_records(Path(path)) for name, path in pairs.items()}
    sys.stdout.write(page(found))


if __name__ == "__main__":
    main(sys.argv[1:])
