"""The Flower ``ServerApp``: reads one TOML file and runs the federation under its defense.

A Flower project names it as ``serverapp = "quickthorn.server.app:app"`` and sets the run
config ``federation = "/path/to/federation.toml"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from quickthorn.server.config import FederationSettings
from quickthorn.server.model import to_model, to_record
from quickthorn.server.references import resolve
from quickthorn.server.strategy import RobustStrategy
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flwr.serverapp.strategy import Result

FEDERATION_KEY = "federation"

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the federation that the run config names."""
    path = context.run_config.get(FEDERATION_KEY)
    if not isinstance(path, str) or not path:
        msg = (
            f"the run config needs {FEDERATION_KEY}, the path of the federation's TOML file; "
            f"got {path!r}. Set it under [tool.flwr.app.config] or with --run-config."
        )
        raise ConfigurationError(msg)
    run_federation(grid, FederationSettings.from_toml(path))


def run_federation(grid: Grid, settings: FederationSettings) -> Result:
    """Build the strategy, the initial model and the evaluation of ``settings``, and run them."""
    server = settings.server
    strategy = RobustStrategy(
        server.defense,
        byzantine=server.byzantine,
        optimizer=server.optimizer,
        automatic=server.automatic,
        root=_prepare(settings, server.root) if server.root else None,
        held=_prepare(settings, server.held) if server.held else None,
        run_dir=server.run_dir or None,
        fraction_train=server.fraction_train,
        fraction_evaluate=server.fraction_evaluate,
        quorum=server.quorum or None,
        min_available_clients=server.min_available_clients or None,
        patience=server.patience,
        organizations=settings.names,
        seed=server.seed,
        spill_bytes=server.spill_bytes,
    )
    config = ConfigRecord(dict(settings.client.to_wire()))
    return strategy.start(
        grid=grid,
        initial_arrays=to_record(resolve(server.model)(settings.client)),
        num_rounds=server.rounds,
        timeout=server.round_timeout,
        train_config=config,
        evaluate_config=config,
        evaluate_fn=_evaluation(settings),
    )


def _prepare(settings: FederationSettings, reference: str) -> Callable[..., Any]:
    """Let the function that ``reference`` names prepare what is called in every round."""
    folder = [settings.server.data_dir] if settings.server.data_dir else []
    prepared: Callable[..., Any] = resolve(reference)(settings.client, *folder)
    return prepared


def _evaluation(
    settings: FederationSettings,
) -> Callable[[int, ArrayRecord], MetricRecord | None] | None:
    if not settings.server.evaluate:
        return None
    judge = _prepare(settings, settings.server.evaluate)

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord(judge(number, to_model(arrays)))

    return evaluate
