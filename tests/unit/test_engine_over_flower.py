"""The in-process engine beside the deployment: the same bits over Flower's messages."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.simulations import Scenario, simulate
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.spec import KNOWLEDGE, UpdateView
from quickthorn.simulations.flower_engine import client_settings, make_member_app
from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.reputation import Policy
from tests.attack_forms import FORMS
from tests.simulated import SMALL, run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attackers": 2, "byzantine": 2, "attack": "sign_flip", "defense": "nnm | trimmed_mean"},
        {"attackers": 2, "byzantine": 1, "attack": "gaussian", "defense": "bucketing | median"},
        {"attackers": 2, "attack": "label_flip | scaling(factor=3)", "attack_every": 2},
        {"defense": "weighted_mean", "partition": "dirichlet", "client_momentum": 0.5},
        {"defense": "centered_clipping", "optimizer": "adam", "partition": "shards"},
        {"clients": 11, "clients_per_round": 8, "attackers": 3, "attack": "sign_flip"},
        {"clients_per_round": 5, "defense": "krum", "byzantine": 1},
        {"lr": 1e30, "local_steps": 3},
        {"attackers": 3, "byzantine": 3, "attack": "alie", "defense": "fltrust"},
        {"attackers": 2, "byzantine": 2, "attack": "mimic", "defense": "foolsgold"},
        {"attackers": 2, "attack": "tabular_backdoor | constrain_and_scale(alpha=0.6)"},
        {"attackers": 2, "attack": "constrain_and_scale(alpha=0.6)", "client_momentum": 0.5},
        {
            "attackers": 2,
            "byzantine": 2,
            "attack": "not_finite",
            "defense": "nnm | trimmed_mean",
            "quarantine": True,
            "clients_per_round": 6,
            "rounds": 6,
        },
        {
            "attackers": 1,
            "attack": "not_finite",
            "clients_per_round": 6,
            "lr_schedule": "inverse(every=1)",
        },
    ],
    ids=str,
)
def test_robust_strategy_makes_the_same_model_and_finds_the_same(changes: dict[str, Any]) -> None:
    ours, flower = run(**changes), run(**changes, strategy="flower")
    assert ours.model_digest == flower.model_digest
    names = ("evaluations", "scores", "verdicts", "unchanged_rounds", "unforged_rounds")
    for name in (*names, "trails", "changes"):
        assert getattr(ours, name) == getattr(flower, name), name


@pytest.mark.parametrize("defense", ["median", "weighted_mean"])
def test_robust_strategy_leaves_out_the_same_also_honest_members(
    monkeypatch: pytest.MonkeyPatch, defense: str
) -> None:
    """Whoever is a little unusual goes, and comes back: the honest too, in any order."""
    hasty = Policy("quarantine", watch=0.05, quarantine=0.05, calm=0.01, calm_rounds=1)
    monkeypatch.setattr(Scenario, "policy", hasty)
    changes: dict[str, Any] = {
        "clients": 11,
        "attackers": 2,
        "byzantine": 3,
        "attack": "optimal_ipm" if defense == "median" else "sign_flip",
        "defense": defense,
        "partition": "dirichlet",
        "quarantine": True,
        "rounds": 9,
    }
    ours, flower = run(**changes), run(**changes, strategy="flower")
    assert set(ours.quarantined) - set(ours.hostile)
    assert ours.model_digest == flower.model_digest
    for name in ("evaluations", "scores", "verdicts", "unchanged_rounds", "trails", "changes"):
        assert getattr(ours, name) == getattr(flower, name), name


def test_one_scenario_makes_one_model_on_all_three_engines(tmp_path: Path) -> None:
    """In this process, under RobustStrategy on the in-process grid, and on Flower's own engine."""
    table: dict[str, object] = {
        "dataset": "breast_cancer",
        "clients": 6,
        "partition": "dirichlet",
        "attackers": 1,
        "byzantine": 1,
        "attack": "label_flip | constrain_and_scale(bound=9, alpha=0.6)",
        "defense": "trimmed_mean",
        "rounds": 2,
    }
    path, out = tmp_path / "scenario.toml", tmp_path / "out.json"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    home = {"FLWR_HOME": str(tmp_path / "flwr"), "RAY_DISABLE_IMPORT_WARNING": "1"}
    command = [sys.executable, "-m", "quickthorn.simulations.flower_engine", str(path), str(out)]

    done = subprocess.run(
        command, env=os.environ | home, capture_output=True, text=True, timeout=170, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]

    def digest(**changes: object) -> str:
        return simulate(Scenario.from_table({**table, **changes})).model_digest

    on_flower = json.loads(out.read_text(encoding="utf-8"))["model_digest"]
    assert on_flower == digest(strategy="engine") == digest(strategy="flower")
    for attack in ("none", "label_flip", "label_flip | constrain_and_scale(bound=9)"):
        assert digest(attack=attack) != on_flower


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attack": "alie", "client_momentum": 0.9}, "attack, client_momentum"),
        ({"partition": "shards", "attackers": 1, "attack": "sign_flip"}, "partition"),
        ({"dataset": "mnist", "data_dir": "data", "quarantine": True}, "data_dir, quarantine"),
        ({"clients_per_round": 3, "lr_schedule": "step(every=2)"}, "clients_per_round, lr_sch"),
    ],
)
def test_what_flowers_engine_cannot_do_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot run this scenario's {words}"):
        client_settings(dataclasses.replace(SMALL, **changes))


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("attackers", [1, 2])
def test_members_by_themselves_forge_what_all_forge_together_or_are_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, attackers: int
) -> None:
    monkeypatch.setattr("quickthorn.simulations.flower_engine.make_app", dict)
    scenario = dataclasses.replace(SMALL, attack=text, attackers=attackers)
    attack, hooks = build_attack(text), dict[str, Any](make_member_app(scenario))  # type: ignore[call-overload]  # the hooks
    rows = np.random.default_rng(3).normal(size=(SMALL.clients, 4)).astype(np.float32)
    rows[:2] *= np.array([[0.1], [5.0]], np.float32)  # one for a boost, one that a bound cuts
    own, honest = rows[:attackers], rows[attackers:]
    view = UpdateView(
        own=own,
        honest=honest,
        previous=rows[-1],
        model=rows[-2],
        round=3,
        defense=lambda values: values.mean(axis=0),
    )

    def apart(member: int) -> NDArray[np.float32]:
        node = {"partition-id": SMALL.clients - attackers + member}
        sent = {"weight": np.zeros(4, np.float32)}
        update = hooks["poison_update"](
            sent, {"weight": own[member]}, SimpleNamespace(node_config=node)
        )
        found: NDArray[np.float32] = update["weight"]
        return found

    def same() -> bool:
        together = attack.forge(view, rng=np.random.default_rng(0)).rows
        forged = np.array([apart(member) for member in range(attackers)])
        return np.array_equal(forged, together, equal_nan=True)

    (step,) = attack.steps
    if attack.knows == KNOWLEDGE[0] and not step.spec.supplied and same():
        client_settings(scenario)
    else:
        with pytest.raises(ConfigurationError, match=f"attackers={attackers} needs more"):
            client_settings(scenario)
