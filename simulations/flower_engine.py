"""Run a scenario on Flower's own simulation engine: to compare with, and to check ours against.

The members are the deployment's ``ClientApp``, in Ray's processes, the hostile ones with the
scenario's attack in its hooks; the server is ``RobustStrategy``. A member knows its own data
and nothing else, so that attacks on updates which look at others, or draw, cannot be run so.

``python -m quickthorn.simulations.flower_engine SCENARIO.toml OUT.json`` writes the digest of
the final model and the seconds of each round. Flower's engine takes the whole process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import ConfigRecord
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from quickthorn.client.app import make_app
from quickthorn.client.models import initial_state
from quickthorn.client.training import derive_seed
from quickthorn.server.model import to_record
from quickthorn.server.store import RunStore
from quickthorn.server.strategy import RobustStrategy
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.spec import UpdateView
from quickthorn.simulations.backdoor import aimed
from quickthorn.simulations.own_model import is_own
from quickthorn.simulations.proximal import Proximal
from quickthorn.simulations.scenario import Scenario
from quickthorn.simulations.setting import held_out, hostile_stand_beside
from quickthorn.simulations.trainer import POISON
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.updates import ModelLayout
from quickthorn.strategies.wire import ClientSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from flwr.app import Context
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.models import State
    from quickthorn.client.optimizers import Optimizer

# What the deployment's client or the strategy is not asked for here, with the value at which it
# need not be.
_OURS_ALONE = {
    "clients_per_round": 0,
    "lr_schedule": "constant",
    "client_momentum": 0.0,
    "attack_start": 1,
    "attack_every": 1,
    "data_dir": "",
    "quarantine": False,
}


def client_settings(scenario: Scenario) -> ClientSettings:
    """Return how the members train, as the server sends it.

    Raises
    ------
    ConfigurationError
        If the scenario asks for what Flower's engine cannot do.

    Example
    -------
    >>> client_settings(Scenario(lr=0.2)).learning_rate
    0.2

    """
    odd = {key for key, plain in _OURS_ALONE.items() if getattr(scenario, key) != plain}
    if hostile_stand_beside(scenario) and scenario.attackers:
        odd.add("partition")
    if is_own(scenario):
        odd.add("model")
    if not build_attack(scenario.attack).forged_apart(scenario.attackers):
        odd.add("attack")
    if odd:
        msg = f"Flower's engine cannot run this scenario's {', '.join(sorted(odd))}; use ours."
        if "attack" in odd:
            msg += (
                " There each hostile member must forge from its own update alone, without a draw; "
                f"{scenario.attack!r} of attackers={scenario.attackers} needs more. An attack "
                "that only counts or measures the hostile can be run with attackers=1."
            )
        raise ConfigurationError(msg)
    return ClientSettings(
        dataset=scenario.dataset,
        model=scenario.model,
        partition=scenario.partition,
        alpha=scenario.alpha,
        gamma=scenario.gamma,
        shards_per_client=1,
        tail_factor=scenario.tail_factor,
        local_epochs=scenario.local_epochs,
        local_steps=scenario.local_steps,
        batch_size=scenario.batch_size,
        learning_rate=scenario.lr,
        weight_decay=scenario.weight_decay,
        seed=scenario.seed,
    )


def make_member_app(scenario: Scenario) -> ClientApp:
    """Return the app of all members; those with the highest partition ids are hostile."""
    attack = build_attack(scenario.attack)
    on_data = attack.data
    if on_data is not None:
        on_data = aimed(on_data, held_out(scenario))
    first = scenario.clients - scenario.attackers

    def poison_data(data: Dataset, context: Context) -> Dataset:
        member = int(context.node_config["partition-id"]) - first
        if member < 0 or on_data is None:
            return data
        rng = np.random.default_rng(derive_seed(scenario.seed, POISON, member))
        return on_data.poison(data, member=member, members=scenario.attackers, rng=rng)

    def poison_training(
        optimizer: Optimizer, parameters: Sequence[torch.Tensor], context: Context
    ) -> Optimizer:
        if int(context.node_config["partition-id"]) < first or attack.alpha == 1:
            return optimizer
        start = [parameter.detach().clone() for parameter in parameters]
        return Proximal(optimizer, parameters, start, attack.alpha)

    def poison_update(sent: State, trained: State, context: Context) -> State:
        if int(context.node_config["partition-id"]) < first or not attack.on_update:
            return trained
        layout = ModelLayout.of(sent)
        weights, _ = layout.flatten(sent)
        moved, counters = layout.flatten(trained)
        own = (moved - weights)[None, :]
        view = UpdateView(
            own=own, honest=own[:0], byzantine=scenario.byzantine, cohort=scenario.clients
        )
        row = attack.forge(view, rng=np.random.default_rng(0)).rows[0]
        return layout.unflatten(weights + row, counters)

    return make_app(
        poison_data=poison_data, poison_training=poison_training, poison_update=poison_update
    )


def run_on_flower(scenario: Scenario) -> dict[str, object]:
    """Run the scenario; return ``model_digest`` and the ``seconds`` of each round."""
    settings = client_settings(scenario)
    app = ServerApp()
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as scratch:
        folder = Path(scratch) / "run"

        @app.main()
        def main(grid: Grid, _context: Context) -> None:
            strategy = RobustStrategy(
                scenario.defense,
                byzantine=scenario.byzantine,
                run_dir=folder,
                fraction_evaluate=0.0,
                min_available_clients=scenario.clients,
                optimizer=scenario.optimizer,
                seed=scenario.seed,
            )
            strategy.start(
                grid=grid,
                initial_arrays=to_record(initial_state(settings)),
                num_rounds=scenario.rounds,
                train_config=ConfigRecord(dict(settings.to_wire())),
            )

        run_simulation(
            app,
            make_member_app(scenario),
            scenario.clients,
            backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
        )
        with RunStore.open(folder) as store:
            rounds = store.rounds()
    return {
        "model_digest": rounds[-1]["model"],
        "seconds": [row["seconds"] for row in rounds],
    }


if __name__ == "__main__":
    found = run_on_flower(Scenario.from_toml(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
