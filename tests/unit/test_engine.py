"""The in-process engine: the arithmetic of a plain loop, the judgement of the deployment."""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import Any

import numpy as np
import pytest
import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model
from quickthorn.client.partition import partition
from quickthorn.client.training import derive_seed
from quickthorn.simulations import Scenario, engine_bench
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.members import Members
from quickthorn.simulations.rounds import run_rounds
from quickthorn.simulations.setting import deal, held_out
from quickthorn.simulations.stopwatch import Stopwatch
from quickthorn.simulations.trainer import Trainer
from quickthorn.strategies.errors import QuickthornError
from tests.simulated import SMALL, run

pytestmark = pytest.mark.usefixtures("one_thread")


def naive(scenario: Scenario) -> np.ndarray[Any, Any]:
    """Return the final flat weights of honest clients under plain averaging, step by step."""
    data = load_split(scenario.dataset, "train")
    shares = partition(data.labels, scenario.clients, scenario.partition, seed=scenario.seed)
    model = build_model(scenario.model, data.features.shape[1:], 2, scenario.seed)
    weights = [p.detach().clone().double() for p in model.parameters()]
    velocities = {c: [torch.zeros_like(p) for p in model.parameters()] for c in range(len(shares))}
    beta = scenario.client_momentum
    damp = 1 - beta if scenario.client_damping else 1.0
    for number in range(1, scenario.rounds + 1):
        total = [torch.zeros_like(w) for w in weights]
        rate = scenario.lr / (2 ** ((number - 1) // 2) if "step" in scenario.lr_schedule else 1)
        for client, share in enumerate(shares):
            for parameter, weight in zip(model.parameters(), weights, strict=True):
                parameter.data = weight.float()
            seed = derive_seed(scenario.seed, client, number)
            order = torch.randperm(len(share), generator=torch.Generator().manual_seed(seed))
            for start in range(0, len(share), scenario.batch_size):
                batch = share[order[start : start + scenario.batch_size].numpy()]
                loss = torch.nn.functional.cross_entropy(
                    model(torch.tensor(data.features[batch])), torch.tensor(data.labels[batch])
                )
                gradients = torch.autograd.grad(loss, list(model.parameters()))
                with torch.no_grad():
                    for p, g, v in zip(
                        model.parameters(), gradients, velocities[client], strict=True
                    ):
                        v.mul_(beta).add_(damp * (g + scenario.weight_decay * p))
                        p.sub_(rate * v)
            trained = [p.detach().double() for p in model.parameters()]
            total = [t + p - w for t, p, w in zip(total, trained, weights, strict=True)]
        weights = [w + t / len(shares) for w, t in zip(weights, total, strict=True)]
    return torch.cat([w.reshape(-1) for w in weights]).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"client_momentum": 0.9, "weight_decay": 0.01},
        {"client_momentum": 0.9, "client_damping": True, "lr_schedule": "step(every=2)"},
    ],
)
def test_the_model_is_that_of_a_plain_loop(changes: dict[str, Any]) -> None:
    scenario = dataclasses.replace(SMALL, **changes)
    members = Members(scenario, Stopwatch())
    model, _ = run_rounds(members, Stopwatch(), lambda number, state: None)
    weights, _ = members.layout.flatten(model)
    np.testing.assert_allclose(weights, naive(scenario), rtol=1e-3, atol=1e-6)
    assert np.abs(weights - members.layout.flatten(members.initial)[0]).max() > 0.05


def test_it_learns_and_repeats_and_leaves_torch_as_it_was() -> None:
    torch.set_num_threads(2)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, again, other = run(), run(), run(seed=1)
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == 2
    assert first.final > 0.9
    assert dataclasses.replace(first, seconds={}) == dataclasses.replace(again, seconds={})
    assert first.model_digest != other.model_digest
    assert first.scenario == SMALL
    assert set(first.seconds) >= {"train", "admit", "score", "aggregate", "evaluate", "total"}


def test_evaluations_come_when_asked_for_and_after_the_last_round() -> None:
    assert [e.round for e in run(rounds=5, eval_every=2).evaluations] == [2, 4, 5]


@pytest.mark.parametrize("scheme", ["shards", "gamma"])
def test_the_hostile_hold_iid_parts_beside_sorted_ones(scheme: str) -> None:
    labels = np.repeat(np.arange(10), 100)
    scenario = Scenario(clients=12, attackers=2, partition=scheme, gamma=0.0)
    honest, hostile = deal(scenario, labels)[:10], deal(scenario, labels)[10:]
    assert [np.unique(labels[share]).tolist() for share in honest] == [[n] for n in range(10)]
    assert [len(np.unique(labels[share])) for share in hostile] == [10, 10]
    assert not set(hostile[0]) & set(hostile[1])


def test_a_long_tail_thins_the_samples_of_both_sides() -> None:
    scenario = Scenario(clients=5, partition="long_tail", tail_factor=0.6)
    data = load_split("digits", "train")
    counts = np.bincount(data.labels[np.concatenate(deal(scenario, data.labels))])
    whole = np.bincount(data.labels)
    assert counts.tolist() == [max(1, int(c * 0.6**i)) for i, c in enumerate(whole)]
    root = Trainer(scenario, build_attack("none"), Stopwatch()).root
    assert np.bincount(root.labels, minlength=10) == pytest.approx(
        100 * counts / counts.sum(), abs=1
    )
    test = load_split("digits", "test")
    assert np.bincount(held_out(scenario).labels).tolist() == [
        max(1, int(c * 0.6**i)) for i, c in enumerate(np.bincount(test.labels))
    ]
    assert len(held_out(dataclasses.replace(scenario, partition="iid"))) == len(test)


def test_the_benchmark_compares_the_same_work() -> None:
    scenario = Scenario(clients=5, rounds=2, model="logistic")
    ours, bare = engine_bench.engine_loop(scenario), engine_bench.bare_loop(scenario)
    torch.testing.assert_close(ours, bare, rtol=0, atol=1e-5)


@pytest.mark.parametrize("strategy", ["engine", "flower"])
def test_too_few_for_the_defense_leave_the_model_and_say_why(strategy: str) -> None:
    changes = {"attackers": 1, "attack": "not_finite", "defense": "krum", "byzantine": 2}
    record = run(**changes, strategy=strategy)
    reason = "6 valid updates, the defense needs 7 (byzantine=2)"
    assert record.unchanged_rounds == {1: reason, 2: reason, 3: reason}
    assert len(set(record.accuracy)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"defense": "krum", "byzantine": 3}, "krum needs n >= 9 clients to tolerate byzantine=3"),
        ({"defense": "krum", "byzantine": 1, "clients_per_round": 4}, "got n=4"),
        ({"attack": "sign_flip"}, "nobody to make it: attackers=0"),
        ({"attack": "sign_flip", "attackers": 1, "attack_start": 4}, "after the last of 3 rounds"),
        ({"attack": "alie", "attackers": 4}, "alie has no z for 4 hostile of 7 clients"),
        ({"attack": "label_flip | alie", "attackers": 4}, "alie has no z"),
    ],
)
@pytest.mark.parametrize("strategy", ["engine", "flower"])
def test_what_can_never_work_is_refused(changes: dict[str, Any], words: str, strategy: str) -> None:
    with pytest.raises(QuickthornError, match=re.escape(words)):
        run(**changes, strategy=strategy)


def test_training_that_diverges_costs_the_client_alone() -> None:
    record = run(lr=1e30, local_steps=3)
    assert record.verdicts == {f"client-{n}": {"error": 3} for n in range(7)}
    assert record.unchanged_rounds[1].startswith("0 valid updates")


def test_after_a_training_that_diverged_the_momentum_begins_anew() -> None:
    record = run(lr=1e30, lr_schedule="step(every=1, factor=1e-31)", client_momentum=0.9)
    assert record.verdicts == {f"client-{n}": {"error": 1, "ok": 2} for n in range(7)}


def wide(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(shape[0], 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(8, classes),
    )


def test_a_model_of_ones_own_may_have_buffers_and_dropout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "own_models", sys.modules[__name__])
    ours = run(model="own_models:wide", batch_size=30)
    assert ours.final > 0.8
    assert (
        run(model="own_models:wide", batch_size=30, strategy="flower").model_digest
        == ours.model_digest
    )
