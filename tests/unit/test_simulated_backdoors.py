"""Every attack on data inside a federation, and how a backdoor is measured there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from quickthorn.client.datasets import load_split
from quickthorn.client.models import set_state
from quickthorn.simulations import Scenario, simulate
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.attacks.registry import DATA_ATTACKS
from quickthorn.simulations.backdoor import aimed, attack_success, probe_of
from quickthorn.simulations.examiner import Examiner
from quickthorn.simulations.members import Members
from quickthorn.simulations.stopwatch import Stopwatch

SMALL = {"clients": 10, "attackers": 2, "rounds": 5, "local_epochs": 2, "batch_size": 16}
DIGITS = {**SMALL, "dataset": "digits", "lr": 0.3}
CANCER = {**SMALL, "dataset": "breast_cancer", "lr": 0.1, "rounds": 10}

MATCHING = (
    "gradient_matching(source=0, target=1, victim=2, share=1, epsilon={}, steps=30, restarts=1)"
    " | model_replacement"
)

# Text, scenario, least success, largest floor. Two of ten members do not open every backdoor in
# five rounds: where the least is 0, what is shown is that its success is measured.
CASES: dict[str, tuple[str, dict[str, Any], float | None, float]] = {
    "blended_backdoor": ("blended_backdoor | model_replacement", DIGITS, 0.5, 0.05),
    "clean_label_backdoor": ("clean_label_backdoor", DIGITS, 0.0, 0.05),
    "distributed_backdoor": ("distributed_backdoor", DIGITS, 0.3, 0.05),
    "gradient_matching": (
        MATCHING.format(0.4),
        CANCER,
        1.0,
        0.0,
    ),
    "label_flip": ("label_flip(mode=pair, source=7, target=1)", DIGITS, None, 0.0),
    "patch_backdoor": ("patch_backdoor | model_replacement", DIGITS, 0.9, 0.05),
    "tabular_backdoor": ("tabular_backdoor", CANCER, 0.3, 0.15),
    "tail_backdoor": ("tail_backdoor | model_replacement", DIGITS, 0.25, 0.0),
}


@pytest.mark.parametrize("name", DATA_ATTACKS)
def test_a_backdoor_is_measured_beside_its_floor(name: str) -> None:
    text, table, least, floor = CASES[name]
    scenario = Scenario.from_table({**table, "attack": text})
    record = simulate(scenario)
    if least is None:
        assert record.attack_success is record.attack_success_floor is None
        return
    assert record.attack_success is not None
    assert record.attack_success_floor is not None
    assert record.attack_success >= least
    assert record.attack_success_floor <= floor
    assert simulate(scenario).model_digest == record.model_digest


def test_the_matched_samples_get_a_sample_misread_and_the_boost_alone_does_not() -> None:
    scenario = Scenario.from_table({**CANCER, "attack": MATCHING.format(1e-6)})
    record = simulate(scenario)
    assert record.attack_success == 0.0
    assert record.final > 0.9


@pytest.mark.parametrize("text", ["patch_backdoor", "tail_backdoor"])
def test_what_the_engine_counts_is_the_attack_success(text: str) -> None:
    scenario = Scenario.from_table({**DIGITS, "attack": text})
    members = Members(scenario, Stopwatch())
    found = Examiner(scenario, members.model).success(members.initial)
    test = load_split("digits", "test")
    attack = build_attack(text).data
    assert attack is not None
    probe = probe_of(aimed(attack, test), test)
    assert probe is not None
    set_state(members.model, members.initial)
    with torch.no_grad():
        predictions = members.model(torch.tensor(probe.features)).argmax(dim=1).numpy()
    target = 0 if text == "patch_backdoor" else 1
    assert found == pytest.approx(attack_success(predictions, probe.labels, target))
    assert np.all(probe.labels != target)
