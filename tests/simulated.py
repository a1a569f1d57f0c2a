"""The small federation on which the engine is tried."""

from __future__ import annotations

import dataclasses
from typing import Any

from quickthorn.simulations import Scenario, SimulationRecord, simulate

SMALL = Scenario(dataset="breast_cancer", model="mlp", clients=7, rounds=3, lr=0.3)


def run(**changes: Any) -> SimulationRecord:  # noqa: ANN401 - any key of a scenario
    """Simulate it with other keys."""
    return simulate(dataclasses.replace(SMALL, **changes))
