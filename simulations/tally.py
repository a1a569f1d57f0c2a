"""Who takes part in a round, and what the rounds of a simulation leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.scoring import suspicion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quickthorn.simulations.scenario import Scenario
    from quickthorn.strategies.updates import Score, Verdict


def draw(scenario: Scenario, number: int) -> list[int]:
    """Return the numbers of the members that take part in round ``number``, ascending.

    >>> from quickthorn.simulations.scenario import Scenario
    >>> draw(Scenario(clients=3), 1), len(draw(Scenario(clients_per_round=5), 1))
    ([0, 1, 2], 5)
    """
    if not scenario.clients_per_round:
        return list(range(scenario.clients))
    rng = np.random.default_rng((scenario.seed, number))
    chosen = rng.choice(scenario.clients, scenario.clients_per_round, replace=False)
    return sorted(chosen.tolist())


@dataclass(eq=False)
class Tally:
    """What the rounds leave behind, client by client.

    Attributes
    ----------
    verdicts
        Client to code to count.
    anomalies
        Client to its anomaly in each round in which it was scored.
    unchanged
        Round to the reason for which the model stayed.
    signals
        Signal to client to its z in each of those rounds.

    """

    verdicts: dict[str, dict[str, int]] = field(default_factory=dict)
    anomalies: dict[str, list[float]] = field(default_factory=dict)
    unchanged: dict[int, str] = field(default_factory=dict)
    signals: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(
        self, number: int, verdicts: Iterable[Verdict], scores: Iterable[Score], reason: str
    ) -> None:
        """Take down one round; an empty ``reason`` means that the model moved."""
        for verdict in verdicts:
            codes = self.verdicts.setdefault(verdict.client, {})
            codes[verdict.code] = codes.get(verdict.code, 0) + 1
        found = tuple(scores)
        for client, anomaly in suspicion(found).items():
            self.anomalies.setdefault(client, []).append(anomaly)
        for score in found:
            self.signals.setdefault(score.signal, {}).setdefault(score.client, []).append(score.z)
        if reason:
            self.unchanged[number] = reason
