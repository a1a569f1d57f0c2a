"""The ready-made root: a stratified draw, trained by the organizations' own procedure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quickthorn.client import root as module
from quickthorn.client.datasets import load_split
from quickthorn.client.models import initial_state
from quickthorn.client.root import draw_root, train_on_root
from quickthorn.client.training import train
from quickthorn.strategies.errors import RunError
from quickthorn.strategies.wire import ClientSettings

if TYPE_CHECKING:
    from quickthorn.client.training import TrainingResult

SETTINGS = ClientSettings(local_epochs=2, learning_rate=0.1)


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
@pytest.mark.parametrize("seed", range(3))
def test_each_class_has_its_share(name: str, seed: int) -> None:
    labels = load_split(name, "train").labels
    drawn = draw_root(labels, 100, seed)
    assert len(set(drawn.tolist())) == 100
    assert (np.diff(drawn) > 0).all()
    exact = 100 * np.bincount(labels) / len(labels)
    assert np.abs(np.bincount(labels[drawn]) - exact).max() <= 1


def test_the_seed_decides_and_few_samples_are_all_taken() -> None:
    labels = np.repeat([0, 1], 200)
    assert draw_root(labels, 100, 0).tolist() == draw_root(labels, 100, 0).tolist()
    assert draw_root(labels, 100, 0).tolist() != draw_root(labels, 100, 1).tolist()
    assert draw_root(labels[:7], 100, 0).tolist() == list(range(7))


def test_a_round_repeats_and_another_round_differs() -> None:
    root, state = train_on_root(SETTINGS), initial_state(SETTINGS)
    first, again, second = root(1, state), root(1, state), root(2, state)
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != second[name]).any() for name in first)
    assert all((state[name] == initial_state(SETTINGS)[name]).all() for name in state)


@pytest.mark.parametrize(("change", "steps"), [({}, 8), ({"local_steps": 3}, 3)])
def test_the_root_trains_by_the_clients_procedure_and_not_by_one_gradient_step(
    change: dict[str, int], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]  # all are integers
    results: list[TrainingResult] = []

    def watched(*arguments: Any, **options: Any) -> TrainingResult:  # noqa: ANN401 - as train's
        results.append(train(*arguments, **options))
        return results[-1]

    monkeypatch.setattr(module, "train", watched)
    trained = train_on_root(settings)(1, initial_state(settings))
    assert [(result.samples, result.steps) for result in results] == [(100, steps)]
    assert trained.keys() == initial_state(settings).keys()


def test_a_training_that_diverges_says_so() -> None:
    settings = dataclasses.replace(SETTINGS, learning_rate=1e30, local_epochs=5)
    with pytest.raises(RunError, match="training diverged"):
        train_on_root(settings)(1, initial_state(settings))
