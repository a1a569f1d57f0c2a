"""What an attack in the engine sees, knows and does, and whom the server leaves out."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.client.datasets import load_split
from quickthorn.server.digest import digest
from quickthorn.simulations import SimulationRecord, simulate
from quickthorn.simulations import engine as module
from quickthorn.simulations.attacks.attack import Attack, AttackStep
from quickthorn.simulations.attacks.spec import AttackSpec, Forged, UpdateView
from quickthorn.simulations.examiner import Examiner
from quickthorn.simulations.members import Members
from quickthorn.simulations.rounds import run_rounds
from quickthorn.simulations.stopwatch import Stopwatch
from quickthorn.simulations.tally import draw
from quickthorn.simulations.trainer import Trainer
from quickthorn.strategies import build
from tests.simulated import SMALL, run

if TYPE_CHECKING:
    from numpy.typing import NDArray


pytestmark = pytest.mark.usefixtures("one_thread")


def use(monkeypatch: pytest.MonkeyPatch, attack: Attack) -> None:
    """Let every scenario have ``attack``, whatever its text says."""
    monkeypatch.setattr("quickthorn.simulations.members.build_attack", lambda text: attack)


def on_update(apply: Any, knows: Any = "own data") -> Attack:  # noqa: ANN401 - any attack
    return Attack(
        (AttackStep(AttackSpec(name="own", kind="update", apply=apply, knows=knows, reference="")),)
    )


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


@pytest.mark.parametrize("spoiled", [np.nan, 1e30])
@pytest.mark.parametrize("attack", ["alie", "mimic", "optimal_ipm", "fang_krum", "min_max"])
def test_nobody_hides_among_updates_that_the_server_refuses(
    attack: str, spoiled: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Trainer.train

    def spoiling(trainer: Trainer, clients: Any, number: int, *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
        for answer in train(trainer, clients, number, *rest, **options):
            if answer.client == 0 and answer.arrays is not None:
                for values in answer.arrays.values():
                    values.flat[0] = spoiled
            yield answer

    monkeypatch.setattr(Trainer, "train", spoiling)
    record = run(attack=attack, attackers=2, byzantine=2)
    assert "ok" not in record.verdicts["client-0"]
    assert record.verdicts["client-6"] == {"ok": 3}
    assert not record.unforged_rounds


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
    run_rounds(
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
    _, tally = run_rounds(
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
    model, _ = run_rounds(clean, Stopwatch(), lambda number, state: None)
    examiner = Examiner(scenario, clean.model)
    assert examiner.success(model) == record.attack_success_floor
    assert examiner.triggered is not None
    assert len(examiner.triggered) == int((load_split("breast_cancer", "test").labels == 0).sum())
    simulate(scenario, lambda done, total, _: seen.append((done, total)))
    assert seen[6:] == [(done, 3) for done in range(1, 4)]  # the floor is known by now


def test_an_attack_that_knows_the_defense_is_admitted_and_does_harm() -> None:
    """Its row could be of any length against a mean, but one that is too long is refused."""
    record = run(attackers=2, attack="optimal_ipm")
    assert all(counts == {"ok": 3} for counts in record.verdicts.values())
    assert record.final < run().final - 0.1
