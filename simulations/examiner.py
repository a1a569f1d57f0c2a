"""What a model is worth: judged on held-out samples, and on those for which a backdoor opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.client.models import set_state
from quickthorn.client.training import evaluate
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.backdoor import aimed, wanted_of
from quickthorn.simulations.own_model import blamed
from quickthorn.simulations.record import Evaluation
from quickthorn.simulations.setting import held_out

if TYPE_CHECKING:
    import torch

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.training import Evaluation as Judgement
    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.trainer import Model


class Examiner:
    """Judges models on the held-out samples, and on those for which a backdoor opens."""

    def __init__(self, scenario: Scenario, model: torch.nn.Module) -> None:
        """Load the samples and open the backdoor; ``model`` is borrowed at each look."""
        self._scenario = scenario
        self._model = model
        self._data = held_out(scenario)
        attack = build_attack(scenario.attack).data
        self.triggered = (
            None if attack is None else wanted_of(aimed(attack, self._data), self._data)
        )

    def look(self, number: int, state: Model) -> Evaluation:
        """Judge the model after round ``number``."""
        found = self._judge(state, self._data)
        return Evaluation(number, found.accuracy, found.recall, self.success(state))

    def success(self, state: Model) -> float | None:
        """Return the share of triggered samples that the model takes for the target."""
        if self.triggered is None:
            return None
        return self._judge(state, self.triggered).accuracy

    def _judge(self, state: Model, data: Dataset) -> Judgement:
        set_state(self._model, state)
        with blamed(self._scenario, "as it classified test samples"):
            return evaluate(self._model, data)
