"""The commands that this folder contributes: ``simulate``, ``demo`` and ``bench``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from quickthorn.simulations.bench import Line
    from quickthorn.simulations.mapped import MappedLine

Told = TypeVar("Told", bound="Line | MappedLine")

_SMALLEST_COHORT = 5  # what krum needs for one liar
_INTERRUPTED = 130  # as a shell reports it


def demo(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    defense: Annotated[
        str, typer.Option(help="The defense, as text; see `quickthorn rules`.")
    ] = "nnm | trimmed_mean",
    byzantine: Annotated[int, typer.Option(help="How many liars it has to tolerate.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of training.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the data's shares and the training.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run's record; runs/demo-<time> by default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
) -> None:
    """Run a real federation on loopback, with one hostile member: undefended and defended.

    Six organizations share the Wisconsin breast-cancer data. One of them trains on flipped
    labels and boosts its update. Everything stays on this machine; at the end nothing is left
    running, and the folder of the run holds its record, its model and the logs.
    """
    # Imported here: torch and flwr take seconds, and --help should not.
    from quickthorn.simulations.demo import Plan, fresh_folder, run_demo  # noqa: PLC0415 - above
    from quickthorn.simulations.demo_report import print_report  # noqa: PLC0415 - above
    from quickthorn.simulations.progress import Shown  # noqa: PLC0415 - above

    plan = Plan(defense, byzantine, rounds, seed, out or fresh_folder())
    try:
        with Shown() as shown:
            found = run_demo(plan, lambda words, share: shown.update(share, 1.0, words))
    except KeyboardInterrupt:
        typer.echo("quickthorn: interrupted; nothing is left running.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps({**asdict(found), "folder": str(found.folder)}))
    else:
        print_report(plan.folder, Console())


def simulate(
    path: Annotated[
        Path,
        typer.Argument(metavar="SCENARIO.toml", help="The scenario's file; all keys optional."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value of a key; repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
) -> None:
    """Run one federation in this process, hostile members and all.

    The keys of a scenario, all of them optional:

    dataset (digits, breast_cancer, mnist), data_dir,
    model (mlp, logistic, cnn, cnn_large, module:factory),
    partition (iid, dirichlet, shards, gamma, long_tail), alpha, gamma,
    tail_factor

    clients, clients_per_round, rounds, local_epochs, local_steps,
    batch_size, lr, lr_schedule, client_momentum, client_damping,
    weight_decay

    attackers (how many are hostile), attack_start, attack_every,
    attack (see `quickthorn attacks`),
    byzantine (how many the defense assumes),
    defense, optimizer (see `quickthorn rules`),
    quarantine (true: whoever is taken for hostile is left out)

    seed, eval_every,
    strategy (engine, or flower: over Flower's messages)
    """
    # Imported here: torch takes seconds, and --help should not.
    from quickthorn.simulations.engine import simulate as run  # noqa: PLC0415 - above
    from quickthorn.simulations.own_model import is_own  # noqa: PLC0415 - above
    from quickthorn.simulations.progress import Shown  # noqa: PLC0415 - above
    from quickthorn.simulations.refusals import doubt, refuse_futile  # noqa: PLC0415 - above
    from quickthorn.simulations.scenario import Scenario  # noqa: PLC0415 - above
    from quickthorn.simulations.summary import print_summary  # noqa: PLC0415 - above

    scenario = Scenario.from_toml(path, dict(_pairs(settings or [])))
    if is_own(scenario) and not sys.flags.safe_path:
        sys.path.insert(0, str(Path.cwd()))  # as ``python -m`` does
    refuse_futile(scenario)  # before a doubt is told: a refusal stands alone
    if words := doubt(scenario):
        typer.echo(f"quickthorn: {words}", err=True)
    try:
        # What a model prints goes to stderr, away from the answer.
        with Shown() as shown, redirect_stdout(sys.stderr):
            record = run(
                scenario,
                lambda done, total, accuracy: shown.update(
                    done, total, _state(scenario.rounds, done, accuracy)
                ),
            )
    except KeyboardInterrupt:
        typer.echo("quickthorn: interrupted.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(record.to_json()))
    else:
        print_summary(record, Console())


def bench(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    clients: Annotated[
        str, typer.Option(help="Cohort sizes n, by commas; 10,32,100, or 64 with --mapped.")
    ] = "",
    sizes: Annotated[
        str,
        typer.Option(
            help="Model sizes d, by commas; 100000,1000000,10000000, or 25000000 with --mapped."
        ),
    ] = "",
    rules: Annotated[
        str, typer.Option(help="Defenses and scorers, by commas; everything by default.")
    ] = "",
    repetitions: Annotated[
        int, typer.Option(min=1, help="Timings of each; the median counts.")
    ] = 3,
    mapped: Annotated[
        bool, typer.Option("--mapped", help="Measure time and memory on a memory-mapped file.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where --mapped makes its file.")] = Path(),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Time rules and scorers beside Flower's own, numpy, and one pass over the data.

    All contestants get the same float32 updates, in turn, in this process. Flower's strategies
    read them from replies, as they always do. Whoever would take more than two minutes or too
    much memory is left out. Everything takes about half an hour and 24 GB of memory; --sizes
    100000 takes two minutes.
    """
    # Imported here: flwr takes seconds, and --help should not.
    from quickthorn.simulations import bench as benchmark  # noqa: PLC0415 - above
    from quickthorn.simulations import bench_report  # noqa: PLC0415 - above
    from quickthorn.simulations import mapped as on_file  # noqa: PLC0415 - above
    from quickthorn.simulations.subjects import all_rules, read_rules  # noqa: PLC0415 - above

    named = read_rules(rules) or all_rules()
    cohorts = _numbers(clients or ("64" if mapped else "10,32,100"), "--clients")
    models = _numbers(sizes or ("25000000" if mapped else "100000,1000000,10000000"), "--sizes")
    if mapped:
        files = [_told(line) for line in on_file.measure_mapped(cohorts, models, named, folder)]
        text, table = on_file.as_mapped_table(files), [asdict(line) for line in files]
    else:
        lines = [_told(line) for line in benchmark.measure(cohorts, models, repetitions, named)]
        text, table = bench_report.as_text(lines), [asdict(line) for line in lines]
    if as_json:
        text = json.dumps({"machine": bench_report.machine(), "lines": table})
    typer.echo(text)


def _told(line: Told) -> Told:
    """Say on stderr what was measured, and hand it on."""
    taken = "left out" if line.seconds is None else f"{line.seconds:.4f} s"
    typer.echo(f"n={line.clients} d={line.size} {line.rule}: {taken}", err=True)
    return line


def _pairs(settings: list[str]) -> Iterator[tuple[str, str]]:
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            msg = f"--set needs key=value; got {setting!r}."
            raise ConfigurationError(msg)
        yield key.strip(), value.strip()


def _state(rounds: int, done: int, accuracy: float | None) -> str:
    if done > rounds:
        return f"without the attack: round {done - rounds} of {rounds}"
    found = "" if accuracy is None else f", accuracy {100 * accuracy:.1f} %"
    return f"round {done} of {rounds}{found}"


def _numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < _SMALLEST_COHORT:
        msg = f"{option} must be integers of at least {_SMALLEST_COHORT}, by commas; got {text!r}."
        raise ConfigurationError(msg)
    return numbers
