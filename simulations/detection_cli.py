"""``quickthorn evaluate-detection``: who is found, and who is wrongly suspected, as a page."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from quickthorn.simulations.comparison.results import Result
    from quickthorn.simulations.detection.evaluate import Line

_INTERRUPTED = 130  # as a shell reports it
_FAILED = 1
_GRID = "detection"


def evaluate_detection(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    out: Annotated[Path | None, typer.Option(help="File of the page; stdout by default.")] = None,
    seeds: Annotated[
        str, typer.Option(help="Seeds, by commas, instead of the grid's: 400, 401, 402 …")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core by default.")
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the runs, so that the same command goes on."),
    ] = None,
    grid: Annotated[
        str, typer.Option(help="Another grid: a TOML file, or one that is shipped.")
    ] = _GRID,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and the page only to --out.")
    ] = False,
) -> None:
    """Measure how well hostile clients are found, under every attack and division of the data.

    For each: AUC of the accumulated evidence, rounds until the attackers are quarantined, honest
    clients that are, accuracy and attack success with and without quarantine.
    """
    # Imported here: the grid's machinery takes a second, and --help should not.
    from quickthorn.simulations.comparison.plan import read_grid  # noqa: PLC0415 - above
    from quickthorn.simulations.detection.evaluate import (  # noqa: PLC0415 - above
        measure,
        reseeded,
        run_grid,
    )
    from quickthorn.simulations.detection.page import page  # noqa: PLC0415 - above
    from quickthorn.simulations.progress import Runs, Shown  # noqa: PLC0415 - above

    tables = read_grid(grid)
    if seeds:
        tables = reseeded(tables, _numbers(seeds))
    shown = Shown()
    counted = Runs(shown)
    place = nullcontext(runs) if runs else tempfile.TemporaryDirectory(prefix="quickthorn-")
    try:
        with place as folder, shown:
            results = run_grid(tables, Path(folder), workers=workers, progress=counted.update)
    except KeyboardInterrupt:
        kept = f", in {runs}" if runs else "; --runs DIR would keep them"
        typer.echo(f"quickthorn: interrupted; {counted.words}{kept}.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    _check(results)
    lines = measure(result.record for result in results if result.record is not None)
    given = {"--grid": "" if grid == _GRID else grid, "--seeds": seeds, "--out": out and str(out)}
    text = page(
        lines,
        [result.run.scenario for result in results],
        grid=grid,
        options=[word for option, value in given.items() if value for word in (option, value)],
    )
    if out:
        out.write_text(text, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(_told(lines), ensure_ascii=False))
    elif not out:
        typer.echo(text, nl=False)


def _told(lines: list[Line]) -> dict[str, object]:
    """Return the lines and the aims as values that JSON has."""
    from quickthorn.simulations.detection.aims import aims  # noqa: PLC0415 - as in the command

    return {
        "lines": [
            {
                **asdict(line),
                "rounds_to_find": line.rounds_to_find,
                "alarms_per_100": line.alarms_per_100,
            }
            for line in lines
        ],
        "aims": [
            {
                "aim": aim.words,
                "reached": aim.reached,
                "checks": len(aim.checks),
                "missed": [
                    {name: getattr(check.line, name) for name in ("attack", "split", "defense")}
                    | {"figure": check.figure}
                    for check in aim.missed
                ],
            }
            for aim in aims(lines)
        ],
    }


def _check(results: tuple[Result, ...]) -> None:
    """Make no page of some of the runs."""
    errors = {result.error for result in results if result.record is None}
    for error in sorted(errors):
        typer.echo(f"quickthorn: a run failed: {error}", err=True)
    if errors:
        raise typer.Exit(_FAILED)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        msg = f"--seeds must be integers, by commas; got {text!r}."
        raise ConfigurationError(msg) from None
