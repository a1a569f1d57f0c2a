"""Run a grid of scenarios, resume it wherever it was left, and report what it found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quickthorn.simulations.comparison.cluster import RayCrew
from quickthorn.simulations.comparison.figures import write_figures
from quickthorn.simulations.comparison.folder import Folder, write_whole
from quickthorn.simulations.comparison.plan import plan, read_grid
from quickthorn.simulations.comparison.pool import LocalCrew, work_through
from quickthorn.simulations.comparison.report import report
from quickthorn.simulations.comparison.results import Result, write_table
from quickthorn.simulations.comparison.summary import summarize
from quickthorn.simulations.comparison.work import is_open
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from quickthorn.simulations.comparison.folder import Outcome
    from quickthorn.simulations.comparison.plan import Run


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    folder
        Where it lies: ``results.csv``, ``results.parquet``, ``runs/``, ``figures/`` and
        ``report.html``.
    results
        One per run of the grid, in its order.

    """

    folder: Path
    results: tuple[Result, ...]

    @property
    def report(self) -> Path:
        """Return the page for people."""
        return self.folder / "report.html"

    def count(self, status: str) -> int:
        """Return how many runs are ``done``, ``failed``, ``interrupted`` or ``not run``."""
        return sum(result.status == status for result in self.results)


def compare(  # noqa: PLR0913 - how it is run is a keyword each
    grid: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    settings: Mapping[str, object] | None = None,
    workers: int | None = None,
    ray: str | None = None,
    retry_failed: bool = False,
    run: bool = True,
    progress: Callable[[Outcome | None, int], None] | None = None,
) -> Comparison:
    """Do the runs of a grid that are not done yet, then write tables, figures and the report.

    A run is identified by the hash of its scenario and of this package's version, so calling
    again goes on where the last call was left, in whatever way it ended, and a larger grid
    reuses the runs of a smaller one. Several calls may share a folder.

    Parameters
    ----------
    grid
        A TOML file, the name of a shipped grid (``quick``) or its tables.
    out
        The folder of the results.
    settings
        Keys of a scenario that count instead of the grid's, for instance ``data_dir``.
    workers
        Processes on this machine; one per core by default. The results are the same for any.
    ray
        Address of a Ray cluster to use instead, as ``ray.init`` reads it.
    retry_failed
        Do the failed runs again too. A run fails by raising an error, and would again: so
        they are left alone otherwise. One whose process was killed is always done again.
    run
        False only writes what the folder already holds.
    progress
        Called with each outcome, at first with None, and how many runs are still to do.

    Raises
    ------
    ConfigurationError
        If the grid, the folder or the cluster cannot be used; nothing was run.
    RunError
        If the work cannot go on; what was done is kept.

    """
    runs = plan(read_grid(grid), settings)
    folder = Folder(Path(out))
    if run:
        todo = [item for item in runs if is_open(folder.load(item.id), retry=retry_failed)]
        tell = progress or (lambda _outcome, _left: None)
        tell(None, len(todo))
        _do(folder, todo, _Means(workers, ray, retry_failed), tell)
    found = Comparison(folder.path, tuple(Result(item, folder.load(item.id)) for item in runs))
    write_report(found)
    return found


@dataclass(frozen=True)
class _Means:
    """Who does the runs."""

    workers: int | None
    ray: str | None
    retry: bool


def _do(
    folder: Folder,
    todo: Sequence[Run],
    means: _Means,
    tell: Callable[[Outcome | None, int], None],
) -> None:
    if not todo:
        return
    crew: LocalCrew | RayCrew
    if means.ray is None:
        crew = LocalCrew(folder, min(_processes(means.workers), len(todo)), retry=means.retry)
    else:
        crew = RayCrew(folder, means.ray, retry=means.retry)
    with crew:
        for number, outcome in enumerate(work_through(crew, folder, todo), start=1):
            tell(outcome, len(todo) - number)


def _processes(workers: int | None) -> int:
    if workers is not None and workers < 1:
        msg = f"workers must be 1 or more; got {workers}."
        raise ConfigurationError(msg)
    return workers or len(os.sched_getaffinity(0))


def write_report(found: Comparison) -> None:
    """Write all files that are made from the results."""
    write_table(found.results, found.folder)
    summary = summarize(found.results)
    write_figures(summary, found.folder / "figures")
    write_whole(found.report, report(found.results).encode())
