"""Members that are trained together have the bits of members that are trained one by one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model
from quickthorn.client.optimizers import Sgd
from quickthorn.client.partition import partition
from quickthorn.client.training import derive_seed, fit
from quickthorn.simulations import Scenario, simulate, trainer
from quickthorn.simulations.together import fit_together, is_stackable, stack

CLIENTS = 9


@pytest.fixture(autouse=True)
def _one_thread() -> Any:  # noqa: ANN401 - a generator fixture
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"client_momentum": 0.9, "weight_decay": 0.01},
        {"client_momentum": 0.9, "client_damping": True, "local_epochs": 2, "batch_size": 7},
        {"local_steps": 1, "batch_size": 5},
        {"batch_size": 1, "local_steps": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("scheme", ["iid", "dirichlet"])
@pytest.mark.parametrize("model", ["logistic", "mlp"])
@pytest.mark.parametrize("dataset", ["breast_cancer", "digits"])
def test_the_bits_are_those_of_one_after_the_other(
    dataset: str, model: str, scheme: str, changes: dict[str, Any]
) -> None:
    scenario = Scenario(dataset=dataset, model=model, clients=CLIENTS, **changes)
    data = load_split(dataset, "train")
    shares = partition(data.labels, CLIENTS, scheme, alpha=0.3, seed=0)
    seeds = [derive_seed(0, client, 1) for client in range(CLIENTS)]
    built = build_model(model, data.features.shape[1:], len(data.classes), 0)
    start = [p.detach().clone() for p in built.parameters()]
    rng = torch.Generator().manual_seed(1)
    momenta = [
        [torch.randn(p.shape, generator=rng) / 100 for p in start if scenario.client_momentum]
        for _ in range(CLIENTS)
    ]

    def optimizer(parameters: list[torch.Tensor], velocities: list[torch.Tensor]) -> Sgd:
        return Sgd(
            parameters,
            learning_rate=0.3,
            momentum=scenario.client_momentum,
            weight_decay=scenario.weight_decay,
            dampening=0.9 if scenario.client_damping else 0.0,
            velocities=velocities or None,
        )

    stacks = [stack([p] * CLIENTS) for p in start]
    velocities = [stack(parts) for parts in zip(*momenta, strict=True)]
    totals = fit_together(
        stacks,
        velocities,
        torch.from_numpy(data.features.reshape(len(data), -1)),
        torch.from_numpy(data.labels),
        shares,
        pace=scenario,
        make_optimizer=optimizer,
        seeds=seeds,
    )

    for client, share in enumerate(shares):
        own: list[torch.Tensor] = list(built.parameters())
        with torch.no_grad():
            for parameter, value in zip(own, start, strict=True):
                parameter.copy_(value)
        result = fit(
            built,
            data,
            scenario,
            optimizer=optimizer(own, momenta[client]),
            seed=seeds[client],
            share=share,
        )
        for stacked, expected in zip([*stacks, *velocities], [*own, *momenta[client]], strict=True):
            assert torch.equal(stacked[client], expected)
        size = min(scenario.batch_size, len(share))
        seen = result.steps * size if scenario.local_steps else len(share) * scenario.local_epochs
        assert totals[client] == pytest.approx(result.loss * seen, rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"partition": "dirichlet", "client_momentum": 0.5},
        {"attackers": 2, "byzantine": 2, "attack": "alie", "defense": "nnm | trimmed_mean"},
        {"attackers": 4, "attack": "constrain_and_scale(alpha=0.6)", "client_momentum": 0.5},
        {"lr": 1e30},
    ],
    ids=str,
)
def test_a_simulation_does_not_depend_on_it(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario(dataset="breast_cancer", clients=7, rounds=3, lr=0.3)
    scenario = dataclasses.replace(scenario, **changes)
    monkeypatch.setattr(trainer, "_STACKED", 3 * 1058)  # chunks of three members
    together = simulate(scenario)
    monkeypatch.setattr(trainer, "is_stackable", lambda model: False)
    assert dataclasses.replace(simulate(scenario), seconds={}) == dataclasses.replace(
        together, seconds={}
    )


def test_only_plain_layers_are_stacked() -> None:
    linear, relu = nn.Linear(2, 2), nn.ReLU()
    frozen, watched, pulled = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    frozen.weight.requires_grad = False
    watched.register_forward_hook(lambda module, given, found: found * 0.1)
    pulled.weight.register_hook(lambda gradient: gradient * 0.1)  # type: ignore[no-untyped-call]  # torch's
    pruned = prune.identity(nn.Linear(2, 2), "weight")  # type: ignore[no-untyped-call]  # torch's
    assert is_stackable(nn.Sequential(nn.Flatten(), linear, relu, nn.Linear(2, 2)))
    for layers in (
        (nn.Flatten(), linear, relu, linear),
        (nn.Flatten(), watched),
        (nn.Flatten(), pulled),
        (nn.Flatten(), nn.utils.spectral_norm(nn.Linear(2, 2))),
        (nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
        (nn.Flatten(), pruned),
        (nn.Flatten(),),
        (linear, relu, linear),
        (nn.Flatten(), linear, relu),
        (nn.Flatten(), linear, nn.Tanh(), linear),
        (nn.Flatten(), linear, nn.Dropout(), linear),
        (nn.Flatten(), nn.Linear(2, 2, bias=False)),
        (nn.Flatten(), linear.double()),
        (nn.Flatten(), frozen),
    ):
        assert not is_stackable(nn.Sequential(*layers))
    assert not is_stackable(linear)


def test_the_parts_of_a_stack_are_aligned_copies() -> None:
    parts = [torch.full((3, 5), float(number)) for number in range(4)]
    stacked = stack(parts)
    assert all(part.data_ptr() % 16 == 0 and part.is_contiguous() for part in stacked)
    stacked[2] += 1
    np.testing.assert_array_equal(stacked[2], np.full((3, 5), 3.0))
    assert float(parts[2][0, 0]) == 2.0
