"""Robust aggregation as pure functions: arrays in, values out; no Flower, clock, disk or log.

Example
-------
>>> import numpy as np
>>> defense = build("clip(radius=median) | nnm | trimmed_mean", byzantine=1)
>>> updates = np.array([[1.0, 1.0], [1.2, 0.8], [0.8, 1.2], [1.0, 1.1], [-50.0, 90.0]])
>>> bool(abs(defense.aggregate(updates).vector - 1).max() < 0.3)
True

"""

from quickthorn.strategies.defense import Defense, build
from quickthorn.strategies.registry import Spec, available, find
from quickthorn.strategies.steps import Step
from quickthorn.strategies.updates import (
    Aggregate,
    ModelLayout,
    Score,
    UpdateMatrix,
    Verdict,
)
from quickthorn.strategies.votes import Votes

__all__ = [
    "Aggregate",
    "Defense",
    "ModelLayout",
    "Score",
    "Spec",
    "Step",
    "UpdateMatrix",
    "Verdict",
    "Votes",
    "available",
    "build",
    "find",
]
