"""Slow, obvious twins of every rule and kernel: Python loops over floats, straight from the paper.

``TWINS``, ``PRE_TWINS`` and ``OPTIMIZER_TWINS`` are read by the laws: a registered rule without
a twin fails. ``RESCALED`` is, too.
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
from tests.naive.angles import flame, fltrust, foolsgold, lengthened, monna, shortened
from tests.naive.history import centered_clipping, dnc
from tests.naive.kernels import Rows, norms, squared_distances
from tests.naive.optimizers import adam, momentum, sgd, yogi
from tests.naive.preaggregators import arc, bucketing, clip, nnm
from tests.naive.signs import lasa, rlr, signguard
from tests.naive.subsets import (
    bulyan,
    caf,
    geometric_median,
    mda,
    mean_around_median,
    smea,
)

TWINS: dict[str, Callable[..., list[float]]] = {
    "bulyan": bulyan,
    "caf": caf,
    "centered_clipping": centered_clipping,
    "dnc": dnc,
    "flame": flame,
    "fltrust": fltrust,
    "foolsgold": foolsgold,
    "geometric_median": geometric_median,
    "krum": krum,
    "lasa": lasa,
    "mda": mda,
    "mean": mean,
    "mean_around_median": mean_around_median,
    "median": median,
    "monna": monna,
    "multi_krum": multi_krum,
    "rlr": rlr,
    "signguard": signguard,
    "smea": smea,
    "trimmed_mean": trimmed_mean,
    "weighted_mean": weighted_mean,
}
PRE_TWINS: dict[str, Callable[..., Rows]] = {
    "arc": arc,
    "bucketing": bucketing,
    "clip": clip,
    "nnm": nnm,
}

OPTIMIZER_TWINS: dict[str, Callable[..., list[list[float]]]] = {
    "adam": adam,
    "momentum": momentum,
    "sgd": sgd,
    "yogi": yogi,
}

# What a rule makes of its rows before it averages them: what its influence counts.
RESCALED: dict[str, Callable[[Rows, list[float]], Rows]] = {
    "flame": shortened,
    "fltrust": lengthened,
    "lasa": shortened,
    "signguard": shortened,
}

__all__ = [
    "OPTIMIZER_TWINS",
    "PRE_TWINS",
    "RESCALED",
    "TWINS",
    "krum_scores",
    "norms",
    "squared_distances",
]
