"""``quickthorn compare``: a grid of scenarios, run, resumed and reported."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from quickthorn.simulations.comparison.compare import Comparison
    from quickthorn.simulations.comparison.results import Result, Status

_INTERRUPTED = 130  # as a shell reports it
_INCOMPLETE = 1
_NAMED = 3  # runs that ended in the same way are named so many, and the others counted
_NEXT: dict[Status, str] = {
    "failed": "What failed fails again until its cause is mended; --retry-failed tries it again.",
    "interrupted": "What was interrupted is done again by the same command{more}.",
    "not run": "What was not run is done by the same command{more}.",
}


def compare(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    grid: Annotated[
        str, typer.Argument(help="A TOML file, or the name of a grid that is shipped.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the results; the same one goes on.")],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core by default.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use this Ray cluster instead.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of every scenario, e.g. data_dir."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do the runs that failed again.")
    ] = False,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Only write the report of what is there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of words.")
    ] = False,
) -> None:
    """Compare defenses: every defense under every attack, split, number of attackers and seed.

    Results, figures and report.html go to the folder --out. Interrupt it as you like: the same
    command goes on, without repeating or losing a run, and several may share a folder.

    Grids that are shipped, and the time that they take on two idle cores:

    quick: 5 defenses under 5 attacks, on digits; 90 runs, a minute and a half.

    standard: 14 defenses, 9 attacks, 3 splits; 3780 runs, one to two hours.

    detection: for `quickthorn evaluate-detection`; 466 runs, about eight minutes.

    worst_case: every attack on one defense, on MNIST; 36 runs, two and a half hours.

    table_a: mimic on MNIST, as published; 72 runs, 12 hours.

    table_b: five attacks on MNIST, as published; 240 runs, 40 hours.

    The last three need --set data_dir=FOLDER, a folder with the files of MNIST.
    """
    # Imported here: figures and tables take a second, and --help should not.
    from quickthorn.simulations.comparison.compare import compare as run_grid  # noqa: PLC0415
    from quickthorn.simulations.progress import Runs, Shown  # noqa: PLC0415 - above

    shown = Shown()
    runs = Runs(shown)
    try:
        with shown:
            found = run_grid(
                grid,
                out,
                settings=_read_settings(settings or []),
                workers=workers,
                ray=ray,
                retry_failed=retry_failed,
                run=not no_run,
                progress=runs.update,
            )
    except KeyboardInterrupt:
        typer.echo(
            f"quickthorn: interrupted; {runs.words}, in {out}. "
            "The same command goes on with the rest; --no-run reports what there is.",
            err=True,
        )
        raise typer.Exit(_INTERRUPTED) from None
    _tell(found, as_json=as_json)
    if found.count("done") < len(found.results):
        _tell_rest(found, no_run=no_run)
        raise typer.Exit(_INCOMPLETE)


def _read_settings(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (key, sign, _) in zip(texts, pairs, strict=True) if not (key and sign)]
    if wrong:
        msg = f"--set takes key=value; got {wrong[0]!r}."
        raise ConfigurationError(msg)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _tell(found: Comparison, *, as_json: bool) -> None:
    counts = {
        status: found.count(status) for status in ("done", "failed", "interrupted", "not run")
    }
    if as_json:
        answer = {
            "folder": str(found.folder),
            "report": str(found.report),
            "runs": len(found.results),
            **{status.replace(" ", "_"): count for status, count in counts.items()},
            "errors": {item.run.id: item.error for item in found.results if item.error},
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    typer.echo(f"{len(found.results)} runs: {words}.")
    typer.echo(f"Report: {found.report}")


def _tell_rest(found: Comparison, *, no_run: bool) -> None:
    """Say on stderr which runs are not done, why, and what to do about it."""
    rest: dict[tuple[Status, str], list[Result]] = defaultdict(list)
    for result in found.results:
        if result.status != "done":
            rest[result.status, result.error].append(result)
    for (status, error), results in rest.items():
        typer.echo(f"{len(results)} {status}{error and f': {error}'}", err=True)
        for result in results[:_NAMED]:
            typer.echo(f"  {_name(result)}", err=True)
        if len(results) > _NAMED:
            table = found.folder / "results.csv"
            typer.echo(f"  and {len(results) - _NAMED} more, see {table}", err=True)
    for status, words in _NEXT.items():
        if found.count(status):
            typer.echo(words.format(more=" without --no-run" if no_run else ""), err=True)


def _name(result: Result) -> str:
    told, split = result.run.scenario, result.run.split
    counts = f"attackers={told.attackers} byzantine={told.byzantine} seed={told.seed}"
    return f"{told.defense}, attack {told.attack}, split {split}, {counts}"
