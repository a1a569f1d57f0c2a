"""What a model is worth: judged on held-out samples, and on those for which a backdoor opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.client.models import set_state
from quickthorn.client.training import evaluate
from quickthorn.simulations.attacks.attack import build_attack
from quickthorn.simulations.backdoor import aimed, wanted_of
from quickthorn.simulations.record import Evaluation
from quickthorn.simulations.setting import held_out

if TYPE_CHECKING:
    import torch

    from quickthorn.simulations.scenario import Scenario
    from quickthorn.simulations.trainer import Model


class Examiner:
    """Judges models on the held-out samples, and on those for which a backdoor opens."""

    def __init__(self, scenario: Scenario, model: torch.nn.Module) -> None:
        """Load the samples and open the backdoor; ``model`` is borrowed at each look."""
        self._model = model
        self._data = held_out(scenario)
        attack = build_attack(scenario.attack).data
        self.triggered = (
            None if attack is None else wanted_of(aimed(attack, self._data), self._data)
        )

    def look(self, number: int, state: Model) -> Evaluation:
        """Judge the model after round ``number``."""
        set_state(self._model, state)
        found = evaluate(self._model, self._data)
        return Evaluation(number, found.accuracy, found.recall, self.success(state))

    def success(self, state: Model) -> float | None:
        """Return the share of triggered samples that the model takes for the target."""
        if self.triggered is None:
            return None
        set_state(self._model, state)
        return evaluate(self._model, self.triggered).accuracy
