"""Simulated attackers and federations: everything hostile lives here, nothing imports it.

    scenario     one federation as a small table; ``record`` is what it came to
    engine       run a scenario in this process
    comparison   a grid of scenarios, and the report of what they came to
    attacks      what hostile members do

Importing this package is light; torch comes in with the first simulation.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quickthorn.simulations.comparison.compare import Comparison, compare
    from quickthorn.simulations.engine import simulate
    from quickthorn.simulations.record import Evaluation, SimulationRecord
    from quickthorn.simulations.scenario import Scenario

__all__ = ["Comparison", "Evaluation", "Scenario", "SimulationRecord", "compare", "simulate"]

_MODULES = {
    "Comparison": "comparison.compare",
    "Evaluation": "record",
    "Scenario": "scenario",
    "SimulationRecord": "record",
    "compare": "comparison.compare",
    "simulate": "engine",
}


def __getattr__(name: str) -> object:
    """Load what ``__all__`` names on first use (PEP 562)."""
    if name in _MODULES:
        module = importlib.import_module(f"quickthorn.simulations.{_MODULES[name]}")
        found: object = getattr(module, name)
        return found
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
