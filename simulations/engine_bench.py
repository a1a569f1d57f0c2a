"""What the engine costs: beside a bare torch loop, beside Flower's engine, and in memory.

``python -m quickthorn.simulations.engine_bench`` prints one line each. All of it takes about
two minutes on an idle machine; ``docs/explanation/simulation.md`` has figures.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

import torch
from threadpoolctl import threadpool_limits
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model
from quickthorn.client.partition import partition
from quickthorn.client.training import derive_seed
from quickthorn.simulations.engine import simulate
from quickthorn.simulations.members import Members
from quickthorn.simulations.rounds import run_rounds
from quickthorn.simulations.scenario import Scenario
from quickthorn.simulations.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

_HERE = "quickthorn.simulations.engine_bench"  # not __name__, which may be __main__
DIGITS = Scenario(dataset="digits", clients=20, rounds=10)
# 64 inputs, 10 outputs and 1,340 hidden units: 100,510 parameters.
LARGE = Scenario(dataset="digits", clients=1000, rounds=2, model=f"{_HERE}:wide_mlp")
_REPETITIONS = 5


def wide_mlp(_shape: tuple[int, ...], _classes: int) -> torch.nn.Module:
    """Return a model of 100,510 parameters for the digits."""
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 1340), torch.nn.ReLU(), torch.nn.Linear(1340, 10)
    )


def bare_loop(scenario: Scenario) -> torch.Tensor:
    """Return the final weights of averaging as one writes it down in torch; no server at all."""
    data = load_split(scenario.dataset, "train")
    features, labels = torch.from_numpy(data.features), torch.from_numpy(data.labels)
    shares = [torch.from_numpy(s) for s in partition(data.labels, scenario.clients, "iid")]
    model = build_model(scenario.model, data.features.shape[1:], len(data.classes), scenario.seed)
    weights = parameters_to_vector(model.parameters()).detach()
    for number in range(1, scenario.rounds + 1):
        rows = []
        for client, share in enumerate(shares):
            vector_to_parameters(weights.clone(), model.parameters())
            optimizer = torch.optim.SGD(model.parameters(), lr=scenario.lr)
            generator = torch.Generator().manual_seed(derive_seed(scenario.seed, client, number))
            order = torch.randperm(len(share), generator=generator)
            for drawn in torch.split(order, scenario.batch_size):
                batch = share[drawn]
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(model(features[batch]), labels[batch]))
                optimizer.step()
            rows.append(parameters_to_vector(model.parameters()).detach() - weights)
        weights = weights + torch.stack(rows).mean(dim=0)
    return weights


def engine_loop(scenario: Scenario) -> torch.Tensor:
    """Return the same by the engine: with admission, scores and the round of the deployment."""
    members = Members(scenario, Stopwatch())
    model, _ = run_rounds(members, Stopwatch(), lambda _number, _model: None)
    return torch.from_numpy(members.layout.flatten(model)[0])


def beside_bare_loop(model: str) -> dict[str, object]:
    """Return milliseconds per round of both, the best of several alternating runs."""
    scenario = dataclasses.replace(DIGITS, model=model)
    with threadpool_limits(1, "blas"):
        torch.set_num_threads(1)
        torch.testing.assert_close(engine_loop(scenario), bare_loop(scenario), rtol=0, atol=1e-4)
        times = [
            (_timed(engine_loop, scenario), _timed(bare_loop, scenario))
            for _ in range(_REPETITIONS)
        ]
    ours, bare = (min(column) * 1000 / scenario.rounds for column in zip(*times, strict=True))
    return {"model": model, "engine_ms": ours, "bare_ms": bare, "ratio": ours / bare}


def beside_flower() -> dict[str, object]:
    """Return milliseconds per round, the median after the first, of ours and of Flower's."""
    ours, over_messages = (_rounds(strategy) for strategy in ("engine", "flower"))
    with tempfile.TemporaryDirectory(prefix="quickthorn-") as folder:
        path, out = Path(folder) / "scenario.toml", Path(folder) / "out.json"
        keys = {"dataset": DIGITS.dataset, "clients": DIGITS.clients, "rounds": DIGITS.rounds}
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        path.write_text("".join(lines), encoding="utf-8")
        _run("quickthorn.simulations.flower_engine", str(path), str(out), home=folder)
        found = json.loads(out.read_text(encoding="utf-8"))
    theirs = median(found["seconds"][1:]) * 1000
    return {
        "engine_ms": ours,
        "over_messages_ms": over_messages,
        "flower_ms": theirs,
        "times_faster": theirs / ours,
    }


def _rounds(strategy: Literal["engine", "flower"]) -> float:
    """Return the median milliseconds between two rounds, without an evaluation."""
    ends: list[float] = []
    scenario = dataclasses.replace(DIGITS, strategy=strategy, eval_every=DIGITS.rounds)
    simulate(scenario, lambda *_: ends.append(time.perf_counter()))
    spans = [later - sooner for sooner, later in itertools.pairwise(ends)]
    return median(spans[:-1]) * 1000  # the last one holds the evaluation


def memory() -> dict[str, object]:
    """Return the peak memory of 1,000 clients with 100,000 parameters, in a fresh process."""
    told = _run(_HERE, "--memory")
    return dict(json.loads(told))


def _measure_memory() -> dict[str, object]:
    record = simulate(LARGE)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "clients": LARGE.clients,
        "peak_mb": int(peak) // 1024,
        "seconds": record.seconds["total"],
    }


def _timed(loop: Callable[[Scenario], torch.Tensor], scenario: Scenario) -> float:
    started = time.perf_counter()
    loop(scenario)
    return time.perf_counter() - started


def _run(module: str, *arguments: str, home: str = "") -> str:
    """Run one of our modules in a process of its own and return what it prints."""
    quiet = {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_HOME": str(Path(home) / "flwr"),
    }
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(  # noqa: S603 - our own module
        command, env=os.environ | quiet, capture_output=True, text=True, check=True
    )
    return done.stdout


def main() -> None:
    """Print every measurement as a line of JSON."""
    if "--memory" in sys.argv:
        print(json.dumps(_measure_memory()))  # noqa: T201 - a tool that prints
        return
    for name in ("logistic", "mlp", "cnn"):
        print(json.dumps(beside_bare_loop(name)), flush=True)  # noqa: T201 - the same
    print(json.dumps(beside_flower()), flush=True)  # noqa: T201 - the same
    print(json.dumps(memory()))  # noqa: T201 - the same


if __name__ == "__main__":
    main()
