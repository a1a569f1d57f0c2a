"""What a scenario starts from: who holds which samples, and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.client.models import build_model
from quickthorn.client.partition import outsiders, partition
from quickthorn.server.references import resolve
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset
    from quickthorn.simulations.scenario import Scenario


def deal(scenario: Scenario, labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Deal the samples; with sorted shards the hostile hold IID parts, as in the benchmark."""
    honest = scenario.clients - scenario.attackers if scenario.partition == "shards" else 0
    shares = partition(
        labels,
        honest or scenario.clients,
        scenario.partition,
        alpha=scenario.alpha,
        gamma=scenario.gamma,
        shards_per_client=1,
        seed=scenario.seed,
    )
    beside = scenario.clients - len(shares)
    return shares + outsiders(len(labels), len(shares), beside, seed=scenario.seed)


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
