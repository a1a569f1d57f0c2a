"""The explicit tables of what there is, and the ``Spec`` that describes each entry.

A rule is a pure function plus a ``Spec``; being listed here is what makes it testable
(the laws run over these tables), documented (``quickthorn rules``) and usable by name.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from quickthorn.strategies.errors import UnknownNameError
from quickthorn.strategies.parameters import own_parameters, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["aggregator", "preaggregator", "scorer", "optimizer"]

# Keyword arguments that the library supplies; every other keyword is the user's parameter.
# ``held``, ``influence`` and ``past`` are for scorers, ``known``, ``rng``, ``state``, ``trusted``
# and ``weights`` for the others.
SUPPLIED = frozenset(
    {
        "byzantine",
        "clients",
        "held",
        "influence",
        "known",
        "layout",
        "past",
        "rng",
        "state",
        "trusted",
        "weights",
    }
)

AGGREGATORS = (
    "bulyan",
    "caf",
    "centered_clipping",
    "dnc",
    "flame",
    "fltrust",
    "foolsgold",
    "geometric_median",
    "krum",
    "lasa",
    "mda",
    "mean",
    "mean_around_median",
    "median",
    "monna",
    "multi_krum",
    "rlr",
    "signguard",
    "smea",
    "trimmed_mean",
    "weighted_mean",
)
PREAGGREGATORS = ("arc", "bucketing", "clip", "nnm")
SCORERS = (
    "consistency",
    "cosine",
    "drift",
    "growth",
    "held_loss",
    "held_recall",
    "influence",
    "krum_distance",
    "layers",
    "norm",
    "response",
    "signs",
    "similarity",
    "spectral",
)
OPTIMIZERS = ("adam", "momentum", "sgd", "yogi")

_TABLES: Mapping[Kind, tuple[str, ...]] = {
    "aggregator": AGGREGATORS,
    "preaggregator": PREAGGREGATORS,
    "scorer": SCORERS,
    "optimizer": OPTIMIZERS,
}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What the library knows about one rule, beside its mathematics.

    Attributes
    ----------
    name, kind
        How it is called in a text form, and where it stands in the pipeline.
    apply
        The pure function. Its keyword-only arguments named in ``SUPPLIED`` come from the
        library, the others are parameters with their annotations and defaults.
    min_clients
        f to the smallest n that the rule accepts; where a parameter matters, it is a further
        argument of the same name.
    traits
        Which laws it claims: ``translation``, ``scale``, ``rotation``, ``containment``
        (within the honest range per coordinate for at most f liars), ``resilient`` (to f
        arbitrary rows) and ``rowwise`` (output row i is input row i, changed on its own).
    rows
        (n, **parameters) to how many rows a pre-aggregator makes of n, growing with n and
        without bound; None where it makes n.
    kappa
        (n, f) to the resilience constant, or None where there is no proven one.
    complexity, reference
        For people, and for the reference page.

    """

    name: str
    kind: Kind
    apply: Callable[..., Any]
    min_clients: Callable[..., int]
    traits: frozenset[str] = frozenset()
    rows: Callable[..., int] | None = None
    kappa: Callable[[int, int], float] | None = None
    complexity: str
    reference: str

    @cached_property
    def supplied(self) -> frozenset[str]:
        """Return the arguments that the library has to supply."""
        return SUPPLIED & inspect.signature(self.apply).parameters.keys()

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Return the user's parameters, annotations resolved, in the order of the signature."""
        return own_parameters(self.apply, SUPPLIED)

    @property
    def summary(self) -> str:
        """Return the first line of the function's docstring."""
        return summary_of(self.apply)


# Where a module is not named like its entry: both Krums read as one paper.
_MODULES = {"multi_krum": "krum"}


@cache
def find(kind: Kind, name: str) -> Spec:
    """Return the ``Spec`` called ``name`` among those of ``kind``.

    Raises
    ------
    UnknownNameError
        If there is none; the closest name is given.

    Example
    -------
    >>> find("aggregator", "krum").min_clients(3)
    9

    """
    if name not in _TABLES[kind]:
        raise UnknownNameError(kind, name, _TABLES[kind])
    module = importlib.import_module(f"quickthorn.strategies.{kind}s.{_MODULES.get(name, name)}")
    spec: Spec = getattr(module, f"{name.upper()}_SPEC" if name in _MODULES else "SPEC")
    return spec


def available() -> dict[Kind, tuple[str, ...]]:
    """Return every name, by kind.

    >>> available()["preaggregator"]
    ('arc', 'bucketing', 'clip', 'nnm')
    """
    return dict(_TABLES)
