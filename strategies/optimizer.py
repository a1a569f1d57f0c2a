"""The server optimizer of a federation: one rule with its parameters, as text or as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.registry import find
from quickthorn.strategies.steps import Step, parse_step, read_step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.strategies.defense import State
    from quickthorn.strategies.registry import Spec
    from quickthorn.strategies.updates import Array


@dataclass(frozen=True)
class Optimizer:
    """How the model moves, once the defense has an aggregate.

    Attributes
    ----------
    step
        The rule with its parameters.

    Example
    -------
    >>> optimizer = build_optimizer("momentum(beta=0.5)")
    >>> step, state = optimizer.move(np.array([2.0]), None)
    >>> optimizer.move(np.array([0.0]), state)[0], list(state)
    (array([1.]), ['optimizer:momentum'])

    """

    step: Step

    def __post_init__(self) -> None:
        """Check that the step is an optimizer and accepts its parameters."""
        if self.step.spec.kind != "optimizer":
            spec = self.step.spec
            msg = f"an optimizer is needed; {spec.name} is of the kind {spec.kind}."
            raise ConfigurationError(msg)
        self.move(np.zeros(1), None)  # the rule checks its parameters, now and not in round 1

    def __str__(self) -> str:
        """Return the text form, which ``build_optimizer`` reads back."""
        return str(self.step)

    def move(self, vector: Array, state: State | None) -> tuple[Array, State | None]:
        """Return the step for an aggregate, and the state of the round with this rule's in it.

        Parameters
        ----------
        vector
            (d,) the aggregate.
        state
            ``Aggregate.state`` of this round, or None. It may hold what this optimizer returned
            in the round before, under a key that no step of a defense has.

        Raises
        ------
        ConfigurationError, UpdateError
            As the rule does.

        """
        key = f"optimizer:{self.step.spec.name}"
        given: dict[str, Any] = {}
        if "state" in self.step.spec.supplied:
            given["state"] = (state or {}).get(key)
        # A step beyond its dtype is infinite: whoever applies it sees that and refuses it.
        with np.errstate(over="ignore", invalid="ignore"):
            step, kept = self.step.spec.apply(vector, **given, **self.step.parameters)
        return step, state if kept is None else {**(state or {}), key: kept}


def build_optimizer(description: str | Step | Optimizer | Mapping[str, object]) -> Optimizer:
    """Make an ``Optimizer`` from its text, its TOML form or its dataclass: one meaning.

    Parameters
    ----------
    description
        ``"adam(learning_rate=0.1)"``, ``{rule = "adam", learning_rate = 0.1}`` or a ``Step``.

    Raises
    ------
    UnknownNameError
        For a rule or a parameter that does not exist; the near miss is named.
    ConfigurationError
        For a text that cannot be read and for a wrong value.

    Example
    -------
    >>> str(build_optimizer({"rule": "adam", "learning_rate": 1}))
    'adam(learning_rate=1.0)'

    """
    if isinstance(description, Optimizer):
        return description
    if isinstance(description, str):
        whole = f"the optimizer {description!r}"
        return Optimizer(parse_step(description, _find_optimizer, whole=whole))
    return Optimizer(read_step(description, _find_optimizer, what="an optimizer"))


def _find_optimizer(name: str) -> Spec:
    return find("optimizer", name)
