"""A server that trains four zeros and writes what it got, and from whom, to a file."""

import itertools
import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from quickthorn.server.strategy import RobustStrategy

app = ServerApp()


class Witness(FedAvg):
    """Flower's FedAvg, which also notes the senders that it believes in."""

    def __init__(self, nodes: int) -> None:
        super().__init__(
            fraction_train=1.0,
            fraction_evaluate=0.0,
            min_train_nodes=nodes,
            min_available_nodes=nodes,
        )
        self.senders: list[str] = []

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        replies = list(replies)
        self.senders += [str(reply.metadata.src_node_id) for reply in replies]
        return super().aggregate_train(server_round, replies)


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes, out = int(config["nodes"]), Path(str(config["out"]))
    strategy: FedAvg | RobustStrategy = Witness(nodes)
    if config["robust"]:
        strategy = RobustStrategy(
            "trimmed_mean",
            byzantine=1,
            run_dir=out.with_suffix(".run"),
            min_available_clients=nodes,
            fraction_evaluate=0.0,
        )
    times: list[float] = []
    gate = str(config["gate"])

    def after(number: int, _: ArrayRecord) -> None:
        """Note the time; with a gate, go on when it holds a file called like the round."""
        times.append(time.time())
        while gate and number and not (Path(gate) / str(number)).exists():
            time.sleep(0.05)

    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(4, np.float32)]),
        num_rounds=int(config["rounds"]),
        timeout=float(config["timeout"]),
        evaluate_fn=after,
    )
    found = {
        "model": result.arrays.to_numpy_ndarrays()[0].tolist(),
        "senders": getattr(strategy, "senders", []),
        "seconds": [later - earlier for earlier, later in itertools.pairwise(times)],
    }
    out.write_text(json.dumps(found), encoding="utf-8")
