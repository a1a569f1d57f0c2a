"""What a scenario starts from: who holds which samples, and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model
from quickthorn.client.partition import long_tail, outsiders, partition
from quickthorn.simulations.own_model import is_own, make_own

if TYPE_CHECKING:
    import numpy as np
    import torch
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
    if is_own(scenario):
        return make_own(scenario, data)
    shape, classes = data.features.shape[1:], len(data.classes)
    return build_model(scenario.model, shape, classes, scenario.seed)
