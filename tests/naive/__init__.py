"""Slow, obvious twins of every rule and kernel: Python loops over floats, straight from the paper.

``TWINS`` and ``PRE_TWINS`` are read by the laws: a registered rule without a twin fails.
Rows are lists of Python floats, so a float32 cohort is computed here in float64; distances,
on which choices hang, are exact integers.
"""

from collections.abc import Callable

from tests.naive.aggregators import (
    krum,
    krum_scores,
    mean,
    median,
    multi_krum,
    trimmed_mean,
    weighted_mean,
)
from tests.naive.kernels import Rows, norms, squared_distances
from tests.naive.preaggregators import clip, nnm

TWINS: dict[str, Callable[..., list[float]]] = {
    "krum": krum,
    "mean": mean,
    "median": median,
    "multi_krum": multi_krum,
    "trimmed_mean": trimmed_mean,
    "weighted_mean": weighted_mean,
}
PRE_TWINS: dict[str, Callable[..., Rows]] = {"clip": clip, "nnm": nnm}

__all__ = ["PRE_TWINS", "TWINS", "krum_scores", "norms", "squared_distances"]
