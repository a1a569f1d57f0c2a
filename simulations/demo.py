"""The demonstration: one federation with a hostile member, undefended and defended.

The defended run is real: a SuperLink and one SuperNode per organization as processes on
loopback, and our ``ServerApp`` between them. The two runs that it is compared with (plain
averaging with the hostile member, and without it) use the same client code and Flower's own
``FedAvg``, but in this process, since each real run takes a minute.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import FedAvg

from quickthorn.client.evaluation import held_out
from quickthorn.client.models import initial_state
from quickthorn.server.config import FederationSettings, ServerSettings
from quickthorn.server.entries import FILE_NAME
from quickthorn.server.model import to_model, to_record
from quickthorn.server.store import RunStore
from quickthorn.simulations.grid import InProcessClient, InProcessGrid
from quickthorn.simulations.hostile_client import app as organization_app
from quickthorn.simulations.processes import LocalFederation, NodeSpec
from quickthorn.simulations.quiet import quiet_flower
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError, RunError
from quickthorn.strategies.wire import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Callable

Curve = list[dict[str, float]]

ORGANIZATIONS = (
    "north-hospital",
    "east-clinic",
    "south-hospital",
    "west-clinic",
    "lakeside-hospital",
    "hilltop-clinic",
)
HOSTILE = "west-clinic"
CURVES = "demo.json"  # in the run's folder: the metrics per round of all three runs
BOOST = 6.0  # as many as there are members: the hostile update replaces the average
TRAINING = ClientSettings(
    dataset="breast_cancer", model="mlp", local_epochs=5, batch_size=16, learning_rate=0.1
)
# A run of 5 rounds takes about a minute, most of it to start.
_START_SECONDS, _ROUND_SECONDS = 240.0, 12.0
# Loaded once and forked, since Flower starts a process for every message; see ``warm``.
_PRELOAD = ("quickthorn.simulations.hostile_client", "quickthorn.server.app")


@dataclass(frozen=True)
class Demo:
    """What the demonstration found.

    Attributes
    ----------
    folder
        The run's folder: its record, model, settings and logs.
    plain, defended, without
        Held-out metrics before round 1 and after each round: Flower's averaging with the
        hostile member, the defense with it, Flower's averaging without it.

    """

    folder: Path
    plain: Curve
    defended: Curve
    without: Curve


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes
    ----------
    defense, byzantine, rounds, seed
        Of the defended run; ``seed`` also draws the shares of the data.
    folder
        Where the record goes; it must be new.

    """

    defense: str
    byzantine: int
    rounds: int
    seed: int
    folder: Path

    def settings(self) -> FederationSettings:
        """Return the federation's configuration, as the TOML file holds it."""
        server = ServerSettings(
            defense=self.defense,
            byzantine=self.byzantine,
            model="quickthorn.client.models:initial_state",
            evaluate="quickthorn.client.evaluation:held_out",
            rounds=self.rounds,
            round_timeout=60.0,
            min_available_clients=len(ORGANIZATIONS),
            seed=self.seed,
            run_dir=str(self.folder.resolve()),
        )
        return FederationSettings(server, replace(TRAINING, seed=self.seed))


def fresh_folder() -> Path:
    """Return the default folder of a demonstration: ``runs/demo-<time>``."""
    return Path("runs") / datetime.now(UTC).strftime("demo-%Y%m%d-%H%M%S")


def run_demo(plan: Plan, progress: Callable[[str, float], None]) -> Demo:
    """Run all three federations.

    Parameters
    ----------
    plan
        What to run.
    progress
        Called with what is going on and the share that is done, from 0 to 1.

    Raises
    ------
    ConfigurationError, TooFewClientsError
        If the plan cannot be carried out; nothing was started.
    RunError
        If the real federation failed; the message holds the words of the process that did.
        No process and no temporary folder is left, and the run's folder keeps the logs.

    """
    settings = plan.settings()
    build(plan.defense, byzantine=plan.byzantine).check_cohort(len(ORGANIZATIONS))
    try:
        plan.folder.mkdir(parents=True)
    except OSError as error:
        msg = f"cannot make {plan.folder}: {error.strerror}; choose a new folder with --out."
        raise ConfigurationError(msg) from error
    progress("plain averaging, in this process", 0.0)
    with quiet_flower():
        plain = _average(settings, _node_configs())
        progress("the same without the hostile member", 0.04)
        without = _average(settings, _node_configs(honest_only=True))
    defended = _defend(plan, settings, progress)
    demo = Demo(plan.folder, plain, defended, without)
    curves = {"plain": plain, "defended": defended, "without": without}
    (plan.folder / CURVES).write_text(json.dumps(curves, indent=1), encoding="utf-8")
    return demo


def _node_configs(*, honest_only: bool = False) -> dict[str, dict[str, str | int | float]]:
    configs: dict[str, dict[str, str | int | float]] = {}
    for index, name in enumerate(ORGANIZATIONS):
        configs[name] = {"partition-id": index, "num-partitions": len(ORGANIZATIONS)}
        if name == HOSTILE:
            configs[name] |= {"attack": "label_flip", "boost": BOOST}
    if honest_only:
        del configs[HOSTILE]
    return configs


def _average(
    settings: FederationSettings, configs: dict[str, dict[str, str | int | float]]
) -> Curve:
    """Run Flower's FedAvg over the same clients in this process."""
    clients = [InProcessClient(organization_app, config) for config in configs.values()]
    judge = held_out(settings.client)
    curve: Curve = []

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        curve.append(judge(number, to_model(arrays)))
        return MetricRecord(dict(curve[-1]))

    FedAvg(fraction_evaluate=0.0, min_available_nodes=len(clients)).start(
        grid=InProcessGrid(clients),
        initial_arrays=to_record(initial_state(settings.client)),
        num_rounds=settings.server.rounds,
        train_config=ConfigRecord(dict(settings.client.to_wire())),
        evaluate_fn=evaluate,
    )
    return curve


def _defend(
    plan: Plan, settings: FederationSettings, progress: Callable[[str, float], None]
) -> Curve:
    """Run the federation on real processes under our ServerApp."""
    nodes = [NodeSpec(name, config) for name, config in _node_configs().items()]
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        home = Path(scratch)
        progress("starting a SuperLink and six SuperNodes", 0.08)
        with LocalFederation(
            nodes, home, logs=plan.folder / "logs", preload=_PRELOAD
        ) as federation:
            toml = plan.folder / "federation.toml"
            toml.write_text(_to_toml(settings, federation.node_ids), encoding="utf-8")
            run = federation.run(
                _write_app(home / "app"),
                overrides={"federation": str(toml.resolve())},
                deadline=_START_SECONDS + _ROUND_SECONDS * plan.rounds,
                on_tick=lambda _seconds: progress(*_state(plan)),
            )
    if not run.completed:
        msg = f"the run ended as {run.status}: {run.details}; see {federation.log_dir}."
        raise RunError(msg)
    with RunStore.open(plan.folder) as store:
        return [metrics for _, metrics in sorted(store.metrics("server").items())]


def _state(plan: Plan) -> tuple[str, float]:
    """Read from the record how far the real run is."""
    done = 0
    if (plan.folder / FILE_NAME).exists():
        with RunStore.open(plan.folder) as store:
            done = len(store.rounds())
    share = 0.2 + 0.8 * done / plan.rounds
    words = f"defended, on real processes: round {min(done + 1, plan.rounds)} of {plan.rounds}"
    return words, share


def _write_app(folder: Path) -> Path:
    """Write the Flower app: a few names, since both sides are installed packages."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_APP, encoding="utf-8")
    return folder


def _to_toml(settings: FederationSettings, node_ids: dict[str, int]) -> str:
    """Write the federation's one configuration file."""
    tables: list[tuple[str, dict[str, object]]] = [
        ("server", {key: value for key, value in vars(settings.server).items() if value != ""}),
        ("client", dict(settings.client.to_wire())),
        ("organizations", {name: f"node:{node}" for name, node in node_ids.items()}),
    ]
    # A JSON scalar is a TOML scalar.
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables
    )


_APP = """\
[project]
name = "quickthorn-demo"
version = "0.1.0"
description = "Six organizations, one of them hostile"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "quickthorn"

[tool.flwr.app.components]
serverapp = "quickthorn.server.app:app"
clientapp = "quickthorn.simulations.hostile_client:app"

[tool.flwr.app.config]
federation = ""
"""
