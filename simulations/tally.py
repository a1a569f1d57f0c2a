"""Who takes part in a round, and what the rounds of a simulation leave behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.record import LOOKS, Trail
from quickthorn.strategies.scoring import suspicion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quickthorn.simulations.scenario import Scenario
    from quickthorn.strategies.reputation import Change, Standing
    from quickthorn.strategies.updates import Score, Verdict

# What the seed is mixed with, beside the round; ``members`` has the others.
DRAW = 2**32 + 3


def draw(scenario: Scenario, number: int) -> list[int]:
    """Return the numbers of the members that take part in round ``number``, ascending.

    >>> from quickthorn.simulations.scenario import Scenario
    >>> draw(Scenario(clients=3), 1), len(draw(Scenario(clients_per_round=5), 1))
    ([0, 1, 2], 5)
    """
    if not scenario.clients_per_round:
        return list(range(scenario.clients))
    # Another stream than that of the round's rules: who is drawn tells nothing of their luck.
    rng = np.random.default_rng((scenario.seed, DRAW, number))
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
    standings
        Client to what the server thinks of it by now.
    looks
        Each round of ``LOOKS`` to the ``standings`` after it.
    changes
        Of the clients' states, in the order of the rounds.

    """

    verdicts: dict[str, dict[str, int]] = field(default_factory=dict)
    anomalies: dict[str, list[float]] = field(default_factory=dict)
    unchanged: dict[int, str] = field(default_factory=dict)
    signals: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    looks: dict[int, dict[str, Standing]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

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

    def add_review(
        self, number: int, standings: Iterable[Standing], changes: Iterable[Change]
    ) -> None:
        """Take down what the server thinks of the clients after a round."""
        self.standings.update((standing.client, standing) for standing in standings)
        self.changes.extend(changes)
        if number in LOOKS:
            self.looks[number] = dict(self.standings)

    def trails(self, last: int) -> dict[str, Trail]:
        """Return what a record says of each client after the ``last`` round."""
        looks = {**self.looks, last: self.standings}
        return {
            client: Trail(
                standing.state,
                {n: seen[client].evidence for n, seen in looks.items() if client in seen},
                {n: seen[client].strength for n, seen in looks.items() if client in seen},
                standing.reason,
            )
            for client, standing in sorted(self.standings.items())
        }
