"""The in-process engine: the arithmetic of a plain loop, the judgement of the deployment."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model
from quickthorn.client.partition import partition
from quickthorn.client.training import derive_seed
from quickthorn.server.digest import digest
from quickthorn.simulations import Scenario, SimulationRecord, engine_bench, simulate
from quickthorn.simulations import engine as module
from quickthorn.simulations.attacks.attack import Attack, AttackStep
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.simulations.examiner import Examiner
from quickthorn.simulations.flower_engine import client_settings
from quickthorn.simulations.members import Members
from quickthorn.simulations.setting import deal, held_out
from quickthorn.simulations.stopwatch import Stopwatch
from quickthorn.simulations.tally import draw
from quickthorn.strategies import build
from quickthorn.strategies.errors import ConfigurationError, QuickthornError
from quickthorn.strategies.reputation import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SMALL = Scenario(dataset="breast_cancer", model="mlp", clients=7, rounds=3, lr=0.3)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:  # noqa: ANN401 - a generator fixture
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(**changes: Any) -> SimulationRecord:  # noqa: ANN401 - any key of a scenario
    return simulate(dataclasses.replace(SMALL, **changes))


def use(monkeypatch: pytest.MonkeyPatch, attack: Attack) -> None:
    """Let every scenario have ``attack``, whatever its text says."""
    monkeypatch.setattr("quickthorn.simulations.members.build_attack", lambda text: attack)


def on_update(apply: Any, knows: Any = "own data") -> Attack:  # noqa: ANN401 - any attack
    return Attack(
        (AttackStep(AttackSpec(name="own", kind="update", apply=apply, knows=knows, reference="")),)
    )


# ---- the arithmetic -------------------------------------------------------------------


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
    model, _ = module.run_rounds(members, Stopwatch(), lambda number, state: None)
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


# ---- who holds what -----------------------------------------------------------------


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
    test = load_split("digits", "test")
    assert np.bincount(held_out(scenario).labels).tolist() == [
        max(1, int(c * 0.6**i)) for i, c in enumerate(np.bincount(test.labels))
    ]
    assert len(held_out(dataclasses.replace(scenario, partition="iid"))) == len(test)


# ---- as the deployment ------------------------------------------------------------------


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


def test_flowers_own_engine_makes_the_same_model(tmp_path: Path) -> None:
    table = {
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
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["model_digest"] == simulate(Scenario.from_table(table)).model_digest
    for attack in ("none", "label_flip | constrain_and_scale(bound=9)"):
        other = simulate(Scenario.from_table(table | {"attack": attack}))
        assert found["model_digest"] != other.model_digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attack": "alie", "client_momentum": 0.9}, "attack, client_momentum"),
        ({"partition": "shards", "attackers": 1, "attack": "sign_flip"}, "partition"),
        ({"clients_per_round": 3, "lr_schedule": "step(every=2)"}, "clients_per_round, lr_sch"),
    ],
)
def test_what_flowers_engine_cannot_do_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot run this scenario's {words}"):
        client_settings(dataclasses.replace(SMALL, **changes))


def test_the_benchmark_compares_the_same_work() -> None:
    scenario = Scenario(clients=5, rounds=2, model="logistic")
    ours, bare = engine_bench.engine_loop(scenario), engine_bench.bare_loop(scenario)
    torch.testing.assert_close(ours, bare, rtol=0, atol=1e-5)


def test_what_cannot_be_finite_is_refused_by_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(view: UpdateView) -> Forged:
        rows = np.full_like(view.own, np.nan)
        rows[1:] = 1e38
        return Forged(rows)

    use(monkeypatch, on_update(spoil))
    record = run(attackers=2)
    assert record.verdicts["client-5"] == {"not-finite": 3}
    assert record.verdicts["client-6"] == {"implausible": 3}
    assert record.verdicts["client-4"] == {"ok": 3}
    assert record.detection_auc == 1.0
    assert record.final > 0.9


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


# ---- the attack ---------------------------------------------------------------------------


def test_an_attack_sees_what_there_is_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[UpdateView] = []

    def look(view: UpdateView) -> Forged:
        views.append(view)
        return Forged(view.own + np.float32(0.25), {"count": len(views)})

    attack = on_update(look, "the defense")
    views.clear()  # what the attack was tried on
    use(monkeypatch, attack)
    scenario = dataclasses.replace(
        SMALL, attackers=2, byzantine=1, clients_per_round=5, rounds=4, defense="median"
    )
    members = Members(scenario, Stopwatch())
    models = [members.layout.flatten(members.initial)[0]]
    module.run_rounds(
        members, Stopwatch(), lambda _, state: models.append(members.layout.flatten(state)[0])
    )
    attacked = [n for n in range(1, 5) if any(client >= 5 for client in draw(scenario, n))]
    assert [view.round for view in views] == attacked
    for count, view in enumerate(views):
        ids = draw(scenario, view.round)
        assert view.clients == tuple(f"client-{n}" for n in ids if n < 5)
        assert (len(view.own), view.cohort) == (sum(n >= 5 for n in ids), 5)
        assert view.byzantine == 1
        assert view.state == ({"count": count} if count else None)
        assert view.model.tobytes() == models[view.round - 1].tobytes()
        before = models[max(view.round - 2, 0)]
        np.testing.assert_array_equal(view.previous, models[view.round - 1] - before)
        assert view.defense is not None
        sent = np.concatenate([view.honest, view.own + np.float32(0.25)])
        foreseen = view.model + view.defense(sent)
        np.testing.assert_allclose(foreseen, models[view.round], rtol=0, atol=1e-6)
        expected = build("median", byzantine=1).aggregate(sent).vector
        np.testing.assert_array_equal(view.defense(sent), expected)


@pytest.mark.parametrize("strategy", ["engine", "flower"])
def test_an_attack_does_not_know_the_luck_of_the_server(
    monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    answers: list[NDArray[np.float32]] = []

    def ask(view: UpdateView) -> Forged:
        assert view.defense is not None
        values = np.concatenate([view.honest, view.own])
        answers.append(view.model + view.defense(values))
        assert (view.defense(values) == view.defense(values)).all()  # one draw per round
        return Forged(view.own.copy())

    attack = on_update(ask, "the defense")
    use(monkeypatch, attack)
    for defense, known in (("median", True), ("bucketing(size=3) | median", False)):
        answers.clear()
        record = run(attackers=2, byzantine=0, rounds=1, defense=defense, strategy=strategy)
        layout = Members(record.scenario, Stopwatch()).layout
        foreseen = layout.unflatten(answers[0].astype(np.float32), np.zeros(0, np.int64))
        assert (digest(foreseen) == record.model_digest) == known


def test_who_is_drawn_tells_nothing_of_the_draws_of_the_rules() -> None:
    scenario = dataclasses.replace(SMALL, clients_per_round=5)
    same = 0
    for number in range(1, 40):
        rng = np.random.default_rng((scenario.seed, number))
        same += draw(scenario, number) == sorted(rng.choice(7, 5, replace=False).tolist())
    assert same < 10  # 1 in 21 by chance


def test_an_attack_sees_who_is_left_out_and_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[UpdateView] = []

    def spoil_then_look(view: UpdateView) -> Forged:
        views.append(view)
        return Forged(np.full_like(view.own, np.nan if view.round < 3 else 0.25))

    use(monkeypatch, on_update(spoil_then_look, "the defense"))
    views.clear()  # what the attack was tried on
    scenario = dataclasses.replace(
        SMALL, attackers=2, byzantine=2, rounds=4, defense="median", quarantine=True
    )
    members = Members(scenario, Stopwatch())
    models = []
    _, tally = module.run_rounds(
        members, Stopwatch(), lambda _, state: models.append(members.layout.flatten(state)[0])
    )
    left_out = {c.client for c in tally.changes if c.after == "quarantined" and c.round == 2}
    assert left_out == {"client-5", "client-6"}
    for view in views[2:]:
        assert view.defense is not None
        sent = np.concatenate([view.honest, np.full_like(view.own, 0.25)])
        expected = build("median", byzantine=2).aggregate(view.honest).vector
        np.testing.assert_array_equal(view.defense(sent), expected)
        np.testing.assert_allclose(view.model + expected, models[view.round - 1], atol=1e-6)
    # They train in the shadow: scored in every round, and not aggregated.
    assert len(tally.signals["norm"]["client-6"]) == 2


@pytest.mark.parametrize("quarantine", [False, True])
def test_the_server_leaves_out_nobody_unless_asked_to(*, quarantine: bool) -> None:
    record = run(attackers=2, byzantine=2, attack="not_finite", quarantine=quarantine)
    assert set(record.quarantined) == ({"client-5", "client-6"} if quarantine else set())
    assert {record.trails[client].state for client in record.hostile} == {
        "quarantined" if quarantine else "watch"
    }
    assert record.model_digest == run(attackers=2, byzantine=2, attack="not_finite").model_digest


def test_the_hostile_are_honest_out_of_hours() -> None:
    honest = run()
    last = run(attackers=2, attack="sign_flip", attack_start=3)
    assert last.hostile == ("client-5", "client-6")
    assert last.accuracy[:2] == honest.accuracy[:2]
    assert last.model_digest != honest.model_digest


@pytest.mark.parametrize("strategy", ["engine", "flower"])
def test_nobody_to_look_at_and_no_defense_to_ask_is_no_crash(
    monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    def ask(view: UpdateView) -> Forged:
        assert view.defense is not None
        return Forged(view.own * view.defense(np.concatenate([view.honest, view.own])).mean())

    use(monkeypatch, on_update(ask, "the defense"))
    options: dict[str, Any] = {"attackers": 5, "clients_per_round": 3, "rounds": 8}
    drawn = [draw(dataclasses.replace(SMALL, **options), n) for n in range(1, 9)]
    alone = {n for n, clients in enumerate(drawn, start=1) if min(clients) >= 2}
    record = run(**options, byzantine=1, defense="trimmed_mean", strategy=strategy)
    assert 0 < len(alone) < 8
    assert set(record.unforged_rounds) == alone
    assert not record.unchanged_rounds


@pytest.mark.parametrize("strategy", ["engine", "flower"])
def test_a_round_whose_draw_leaves_no_attack_costs_that_attack_alone(strategy: str) -> None:
    options: dict[str, Any] = {"attackers": 3, "clients_per_round": 5, "rounds": 8}
    drawn = [draw(dataclasses.replace(SMALL, **options), n) for n in range(1, 9)]
    many = {n for n, clients in enumerate(drawn, start=1) if sum(c >= 4 for c in clients) == 3}
    record = run(**options, attack="alie", defense="median", byzantine=2, strategy=strategy)
    assert 0 < len(many) < 8
    assert set(record.unforged_rounds) == many
    assert "alie has no z for 3 hostile of 5 clients" in record.unforged_rounds[min(many)]
    assert SimulationRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert record.final > 0.8


def test_what_the_defense_refuses_cannot_be_foreseen() -> None:
    options: dict[str, Any] = {"attackers": 2, "rounds": 2, "defense": "krum", "byzantine": 2}
    record = run(**options, attack="optimal_ipm", lr=1e30, local_steps=3)
    assert set(record.unforged_rounds) == {1, 2}


def test_a_backdoor_is_measured_beside_its_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FLOORS", {})
    plain = run(attackers=2)
    assert (plain.attack_success, plain.attack_success_floor) == (None, None)
    seen: list[tuple[int, int]] = []
    scenario = dataclasses.replace(
        SMALL, attackers=2, attack="tabular_backdoor(target=1) | model_replacement"
    )
    record = simulate(scenario, lambda done, total, _: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]
    assert record.attack_success is not None
    assert record.attack_success_floor is not None
    assert record.attack_success > record.attack_success_floor + 0.2
    assert record.evaluations[0].attack_success is not None
    clean = Members(dataclasses.replace(scenario, attack="none"), Stopwatch())
    model, _ = module.run_rounds(clean, Stopwatch(), lambda number, state: None)
    examiner = Examiner(scenario, clean.model)
    assert examiner.success(model) == record.attack_success_floor
    assert examiner.triggered is not None
    assert len(examiner.triggered) == int((load_split("breast_cancer", "test").labels == 0).sum())
    simulate(scenario, lambda done, total, _: seen.append((done, total)))
    assert seen[6:] == [(done, 3) for done in range(1, 4)]  # the floor is known by now


# ---- models of one's own --------------------------------------------------------------------


def wide(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(shape[0], 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(8, classes),
    )


def no_model(shape: tuple[int, ...], classes: int) -> str:
    return "a model"


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
    with pytest.raises(ConfigurationError, match=re.escape("must return a torch.nn.Module")):
        run(model="own_models:no_model")
    with pytest.raises(ConfigurationError, match="cannot import 'own_models:wyde'"):
        run(model="own_models:wyde")


def test_an_attack_that_knows_the_defense_is_admitted_and_does_harm() -> None:
    """Its row could be of any length against a mean, but one that is too long is refused."""
    record = run(attackers=2, attack="optimal_ipm")
    assert all(counts == {"ok": 3} for counts in record.verdicts.values())
    assert record.final < run().final - 0.1
