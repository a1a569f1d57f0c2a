"""The hostile need not train where nothing depends on it; and then nothing does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from torch import nn

from quickthorn.simulations import Scenario, simulate
from quickthorn.simulations.attacks.attack import Attack
from quickthorn.simulations.attacks.registry import UPDATE_ATTACKS, find_attack
from quickthorn.simulations.trainer import Trainer

SMALL = Scenario(dataset="breast_cancer", clients=7, rounds=2, attackers=2, byzantine=2)
UNTRAINED = [name for name in UPDATE_ATTACKS if not find_attack(name).looks_at_own]


def model_and_trained(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], *, looks: bool | None = None
) -> tuple[str, int]:
    """Return the digest of the model, and how many trainings there were of the hostile."""
    scenario = SMALL.with_settings(settings)
    first = scenario.clients - scenario.attackers
    trained = 0
    train = Trainer.train

    def counted(trainer: Trainer, clients: Any, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
        nonlocal trained
        trained += sum(client >= first for client in clients)
        yield from train(trainer, clients, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", counted)
        if looks is not None:
            patch.setattr(Attack, "looks_at_own", looks)
        return simulate(scenario).model_digest, trained


@pytest.mark.parametrize("attack", UNTRAINED)
def test_who_sends_nothing_of_his_own_need_not_train(
    monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    settings: dict[str, object] = {"attack": attack, "defense": "median"}
    model, trained = model_and_trained(monkeypatch, settings, looks=True)
    assert trained == 4
    assert model_and_trained(monkeypatch, settings) == (model, 0)


@pytest.mark.parametrize("attack", ["sign_flip", "label_flip | scaling"])
def test_who_sends_something_of_his_own_trains(
    monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    assert model_and_trained(monkeypatch, {"attack": attack})[1] == 4


@pytest.mark.parametrize("later", [{"attack_every": 2}, {"clients_per_round": 6}])
def test_a_momentum_goes_on_where_the_hostile_may_train_again(
    monkeypatch: pytest.MonkeyPatch, later: dict[str, object]
) -> None:
    settings: dict[str, object] = {"attack": "alie", "client_momentum": 0.9, **later}
    spared, trained = model_and_trained(monkeypatch, settings)
    assert model_and_trained(monkeypatch, settings, looks=True) == (spared, trained)


def test_a_momentum_that_nobody_reads_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, object] = {"attack": "alie", "client_momentum": 0.9, "attack_start": 2}
    model, always = model_and_trained(monkeypatch, settings, looks=True)
    assert model_and_trained(monkeypatch, settings) == (model, always - 2)


def test_with_momentum_who_can_no_longer_forge_trains_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = Trainer.train

    def diverging(trainer: Trainer, clients: Any, number: int, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
        for answer in train(trainer, clients, number, *rest, **options):
            lost = number == 3 and answer.client < 5
            yield dataclasses.replace(answer, arrays=None, fault="diverged") if lost else answer

    settings: dict[str, object] = {"attack": "alie", "client_momentum": 0.9, "rounds": 3}
    monkeypatch.setattr(Trainer, "train", diverging)
    assert model_and_trained(monkeypatch, settings)[1] == 2


def test_where_nothing_can_be_forged_they_train_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, object] = {
        "attack": "alie",
        "attackers": 3,
        "clients_per_round": 5,
        "rounds": 8,
    }
    spared, trained = model_and_trained(monkeypatch, settings)
    model, always = model_and_trained(monkeypatch, settings, looks=True)
    assert spared == model
    assert 0 < trained < always


def test_the_counters_of_a_model_count_every_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model = f"{__name__}:with_counters"
    settings: dict[str, object] = {"attack": "ipm", "model": model, "local_steps": 1}
    assert model_and_trained(monkeypatch, settings)[1] == 4


def with_counters(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(shape[0], 8), nn.BatchNorm1d(8), nn.Linear(8, classes))
