"""What a scenario starts from: who holds which samples, and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model
from quickthorn.client.partition import long_tail, outsiders, partition
from quickthorn.server.references import resolve
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset
    from quickthorn.simulations.scenario import Scenario


def deal(scenario: Scenario, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Deal the samples; where they are sorted, the hostile hold IID parts beside the honest.

    Otherwise the hostile, who have the highest numbers, would hold the last of the labels.
    """
    beside = scenario.attackers if hostile_stand_beside(scenario) else 0
    shares = partition(
        labels,
        scenario.clients - beside,
        scenario.partition,
        alpha=scenario.alpha,
        gamma=scenario.gamma,
        shards_per_client=1,
        tail_factor=scenario.tail_factor,
        seed=scenario.seed,
    )
    return shares + outsiders(len(labels), len(shares), beside, seed=scenario.seed)


def hostile_stand_beside(scenario: Scenario) -> bool:
    """Say whether the honest alone share the samples, as in the published benchmarks."""
    return scenario.partition in {"gamma", "shards"}


def held_out(scenario: Scenario) -> Dataset:
    """Return the test samples; behind a long tail they are thinned as the training data are."""
    data = load_split(scenario.dataset, "test", scenario.data_dir)
    if scenario.partition != "long_tail":
        return data
    return data.take(long_tail(data.labels, scenario.tail_factor))


def make_model(scenario: Scenario, data: Dataset) -> torch.nn.Module:
    """Build the named model, or call the user's factory under the scenario's seed."""
    shape, classes = data.features.shape[1:], len(data.classes)
    if ":" not in scenario.model:
        return build_model(scenario.model, shape, classes, scenario.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(scenario.seed)
        model = resolve(scenario.model)(shape, classes)
    if not isinstance(model, torch.nn.Module):
        got = type(model).__name__
        msg = f"{scenario.model} must return a torch.nn.Module; got {got}."
        raise ConfigurationError(msg)
    return model
