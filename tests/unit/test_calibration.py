"""A threshold is a false-alarm rate: held to its word on honest clients, on seeds of its own.

The table in ``strategies/calibration.py`` was set on seeds 0 to 4 for six signals and 0 to 2 for
the others, and widened once after a look at 100 and 101; these are other seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from quickthorn.simulations import Scenario, engine, rounds
from quickthorn.simulations.members import Members
from quickthorn.simulations.stopwatch import Stopwatch
from quickthorn.strategies.registry import SCORERS
from quickthorn.strategies.reputation import Policy, review

if TYPE_CHECKING:
    from quickthorn.strategies.reputation import Review, Standing

IID: dict[str, object] = {"partition": "iid"}
UNEQUAL: dict[str, object] = {"partition": "dirichlet", "alpha": 0.1}
SEEDS = (200, 201)


def reviews(monkeypatch: pytest.MonkeyPatch, **keys: object) -> list[Review]:
    found: list[Review] = []

    def watched(*given: object, **named: object) -> Review:
        named["policy"] = Policy(automatic="quarantine")
        found.append(review(*given, **named))  # type: ignore[arg-type]  # as a round calls it
        return found[-1]

    monkeypatch.setattr(rounds, "review", watched)
    scenario, watch = Scenario.from_table({"eval_every": 1000, **keys}), Stopwatch()
    with engine._threads(scenario):
        rounds.run_rounds(Members(scenario, watch), watch, lambda _number, _model: None, SCORERS)
    return found


@pytest.mark.parametrize(
    ("dataset", "clients", "split"),
    [
        ("digits", 5, UNEQUAL),
        ("digits", 10, UNEQUAL),
        ("digits", 20, IID),
        ("digits", 20, UNEQUAL),
        ("digits", 50, UNEQUAL),
        ("breast_cancer", 5, UNEQUAL),
        ("breast_cancer", 20, IID),
        ("breast_cancer", 20, UNEQUAL),
    ],
)
def test_honest_clients_reach_a_threshold_as_seldom_as_it_says(
    monkeypatch: pytest.MonkeyPatch, dataset: str, clients: int, split: dict[str, object]
) -> None:
    standings: list[Standing] = []
    quarantined = 0
    for seed in SEEDS:
        keys = {"dataset": dataset, "clients": clients, "byzantine": clients // 5, "seed": seed}
        found = reviews(monkeypatch, rounds=12, **keys, **split)
        standings += [standing for one in found for standing in one.standings]
        quarantined += sum(c.after == "quarantined" for one in found for c in one.changes)

    scores = np.array([standing.score for standing in standings], np.float64)
    evidence = np.array([standing.evidence for standing in standings])
    assert len(scores) == 24 * clients
    assert np.mean(scores >= 0.99) <= 0.01
    assert np.mean(evidence >= 0.99) <= 0.01
    assert quarantined <= 0.01 * len(scores)


def test_a_loud_liar_reaches_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"clients": 20, "byzantine": 4, "attackers": 4, "rounds": 5, "seed": 200}
    found = reviews(monkeypatch, attack="ipm(epsilon=0.1)", defense="median", **keys, **UNEQUAL)

    assert found[-1].reputation.excluded == set(Scenario(clients=20, attackers=4).hostile)
