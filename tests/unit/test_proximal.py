"""Training close to the model that was sent: the loss, and what an attacker gains by it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model, get_state
from quickthorn.client.optimizers import Sgd
from quickthorn.client.training import fit
from quickthorn.server.digest import digest
from quickthorn.simulations import Scenario, simulate
from quickthorn.simulations.attacks.attack import Attack, AttackStep
from quickthorn.simulations.attacks.spec import KNOWLEDGE, AttackSpec, Forged, UpdateView
from quickthorn.simulations.examiner import Examiner
from quickthorn.simulations.members import Members
from quickthorn.simulations.proximal import Proximal
from quickthorn.simulations.rounds import run_rounds
from quickthorn.simulations.stopwatch import Stopwatch
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.simulations.attacks.oracle import Oracle
    from quickthorn.simulations.trainer import Model

CANCER = Scenario(dataset="breast_cancer", clients=7, attackers=2, rounds=3, lr=0.3)
# Members of unequal length, of whom two boost what they learned to five times its length.
DIGITS = Scenario(
    clients=10,
    partition="dirichlet",
    attackers=2,
    rounds=10,
    local_epochs=2,
    batch_size=16,
    lr=0.1,
)
BACKDOOR = "patch_backdoor | constrain_and_scale(bound=1000, alpha={})"


@pytest.fixture(autouse=True)
def _one_thread() -> Any:  # noqa: ANN401 - a generator fixture
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("alpha", [0.2, 0.7, 1.0])
def test_the_training_descends_the_whole_loss(alpha: float) -> None:
    """The penalty is no constant: autograd, given all of the loss, goes the same way."""
    data = load_split("breast_cancer", "train").take(np.arange(96))
    pace = dataclasses.replace(CANCER, local_epochs=3)
    initial = get_state(build_model("mlp", (30,), 2, 0))
    states = []
    for naive in (False, True):
        model = build_model("mlp", (30,), 2, 0)
        parameters: list[torch.Tensor] = list(model.parameters())
        start = [parameter.detach().clone() for parameter in parameters]
        inner = Sgd(parameters, learning_rate=0.2, momentum=0.5, weight_decay=0.01)
        fit(
            model,
            data,
            pace,
            optimizer=(_Naive if naive else Proximal)(inner, parameters, start, alpha),
            seed=1,
        )
        states.append(np.concatenate([array.ravel() for array in get_state(model).values()]))
    moved = states[1] - np.concatenate([array.ravel() for array in initial.values()])
    np.testing.assert_allclose(states[0], states[1], rtol=1e-4, atol=1e-6)
    assert np.abs(moved).max() > 0.01


class _Naive:
    """The slow twin: the gradient of α L, and autograd's of the penalty as it is written."""

    def __init__(
        self,
        inner: Sgd,
        parameters: list[torch.Tensor],
        start: list[torch.Tensor],
        alpha: float,
    ) -> None:
        self.inner, self.parameters, self.start, self.alpha = inner, parameters, start, alpha

    def step(self) -> None:
        loss = [p.grad.clone() for p in self.parameters if p.grad is not None]
        distance = torch.cat(
            [(p - s).flatten() for p, s in zip(self.parameters, self.start, strict=True)]
        )
        penalty = torch.autograd.grad((1 - self.alpha) * (distance**2).sum(), self.parameters)
        for parameter, own, pull in zip(self.parameters, loss, penalty, strict=True):
            parameter.grad = self.alpha * own + pull
        self.inner.step()


@pytest.mark.parametrize("data", ["", "tabular_backdoor | "])
def test_alpha_1_changes_no_bit_and_a_smaller_one_does(data: str) -> None:
    def model_of(parameters: str) -> str:
        attack = f"{data}constrain_and_scale{parameters}"
        return simulate(dataclasses.replace(CANCER, attack=attack)).model_digest

    assert model_of("") == model_of("(alpha=1)") != model_of("(alpha=0.9)")


def test_any_attack_may_train_so_while_it_attacks_and_the_honest_never_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views: list[UpdateView] = []

    def look(view: UpdateView, *, pull: float = 1.0) -> Forged:
        assert pull > 0
        views.append(view)
        return Forged(view.own.copy())

    spec = AttackSpec(
        name="own",
        kind="update",
        apply=look,
        knows=KNOWLEDGE[1],
        reference="",
        loss_weight="pull",
    )
    models: list[Model] = []
    for alpha in (1.0, 0.1):
        attack = Attack((AttackStep(spec, {"pull": alpha}),))
        known = {CANCER.attack: attack}
        monkeypatch.setattr("quickthorn.simulations.members.build_attack", known.get)
        scenario = dataclasses.replace(CANCER, rounds=2, attack_start=2)
        run_rounds(Members(scenario, Stopwatch()), Stopwatch(), lambda _, m: models.append(m))

    free, tied = (view for view in views if len(view.honest) == 5)  # the others tried the attack
    assert digest(models[0]) == digest(models[2])
    np.testing.assert_array_equal(free.honest, tied.honest)
    lengths = [np.linalg.norm(view.own, axis=1) for view in (free, tied)]
    assert (lengths[1] < 0.5 * lengths[0]).all()


def test_only_a_parameter_that_says_so_weighs_the_loss_and_it_is_checked() -> None:
    def same(view: UpdateView, *, alpha: float = 1.0) -> Forged:
        return Forged(view.own * np.float32(alpha))

    usual = AttackSpec(name="own", kind="update", apply=same, knows=KNOWLEDGE[0], reference="")
    assert Attack((AttackStep(usual, {"alpha": 7.0}),)).alpha == 1
    weighs = dataclasses.replace(usual, loss_weight="alpha")
    assert Attack((AttackStep(weighs, {"alpha": 0.5}),)).alpha == 0.5
    for wrong in (0.0, -3.0, 7.0):
        with pytest.raises(ConfigurationError, match=f"alpha of own .* at most 1; got {wrong}"):
            Attack((AttackStep(weighs, {"alpha": wrong}),))


def measured(attack: str) -> tuple[NDArray[np.float64], float, float]:
    """Return the lengths in round 1, the AUC of the signal ``norm`` and the attack success."""
    scenario = dataclasses.replace(DIGITS, attack=attack)
    members = Members(scenario, Stopwatch())
    start, _ = members.layout.flatten(members.initial)
    lengths = [
        np.linalg.norm(members.layout.flatten(answer.arrays)[0] - start)
        for answer in members.answers(1, range(10), members.initial, no_oracle)
        if answer.arrays is not None
    ]
    model, tally = run_rounds(Members(scenario, Stopwatch()), Stopwatch(), lambda _, state: None)
    z = {client: np.mean(found) for client, found in tally.signals["norm"].items()}
    hostile, honest = ([z[c] for c in z if (c in scenario.hostile) == liar] for liar in (1, 0))
    auc = np.mean(np.greater.outer(hostile, honest))
    aimed = dataclasses.replace(scenario, attack=BACKDOOR.format(1))
    success = Examiner(aimed, members.model).success(model)
    assert success is not None
    return np.array(lengths), float(auc), success


def no_oracle(clients: tuple[str, ...]) -> Oracle:
    raise AssertionError(clients)


def test_a_constrained_backdoor_is_shorter_looks_ordinary_and_still_opens() -> None:
    free, found, _ = measured(BACKDOOR.format(1))
    tied, missed, success = measured(BACKDOOR.format(0.3))
    _, _, floor = measured("none")
    np.testing.assert_array_equal(tied[:8], free[:8])
    assert (tied[8:] < 0.6 * free[8:]).all()
    assert (found, missed < 0.5) == (1.0, True)
    assert success > 0.75
    assert floor < 0.05
