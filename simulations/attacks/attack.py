"""An attack as it is used: on data, then on the update, at most one of each, from one text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.simulations.attacks.registry import find_attack
from quickthorn.simulations.attacks.spec import KNOWLEDGE, Forged, UnforgeableError, UpdateView
from quickthorn.simulations.poisoning import check_share
from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.parameters import as_call, check_parameters
from quickthorn.strategies.steps import parse_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.simulations.attacks.spec import AttackSpec, DataAttack, Knowledge


@dataclass(frozen=True)
class AttackStep:
    """One attack with its parameters: ``AttackStep(find_attack("ipm"), {"epsilon": 0.5})``.

    An attack of one's own needs no registration: write its ``AttackSpec`` and put it here.

    Raises
    ------
    UnknownNameError, ConfigurationError
        As ``check_parameters`` does.

    """

    spec: AttackSpec
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the parameters against the signature."""
        checked = check_parameters(self.spec, self.parameters)
        object.__setattr__(self, "parameters", checked)

    def __str__(self) -> str:
        """Return the text form."""
        return as_call(self.spec.name, self.parameters)

    @property
    def knows(self) -> Knowledge:
        """Return what it needs to know with these parameters."""
        name = self.spec.knows_by
        if name is None:
            return self.spec.knows
        usual = self.spec.parameters[name].default
        return self.spec.knows if self.parameters.get(name, usual) == usual else KNOWLEDGE[0]


@dataclass(frozen=True)
class Attack:
    """What the hostile members do: at most one attack on data, then at most one on the update.

    Attributes
    ----------
    steps
        None of them is no attack at all.

    Example
    -------
    >>> attack = build_attack("sign_flip")
    >>> view = UpdateView(own=np.ones((1, 2), np.float32), honest=np.ones((3, 2), np.float32))
    >>> attack.knows, attack.data, attack.forge(view, rng=np.random.default_rng(0)).rows
    ('own data', None, array([[-1., -1.]], dtype=float32))

    """

    steps: tuple[AttackStep, ...] = ()

    def __post_init__(self) -> None:
        """Check the order of the steps, and that the parameters of each can be used."""
        kinds = [step.spec.kind for step in self.steps]
        if kinds not in ([], ["data"], ["update"], ["data", "update"]):
            msg = (
                "an attack is one on data, one on the update, or one on data and then one on "
                f"the update, as in 'label_flip | scaling'; got {self}, which is "
                f"{' | '.join(kinds)}."
            )
            raise ConfigurationError(msg)
        # Each attack checks its parameters: now, and not in its first round.
        _ = self.data, self.alpha
        rows = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
        trial = UpdateView(own=rows[:1], honest=rows, defense=lambda values: values.mean(axis=0))
        self.forge(trial, rng=np.random.default_rng(0))

    def __str__(self) -> str:
        """Return the text form, which ``build_attack`` reads back."""
        return " | ".join(map(str, self.steps)) or "none"

    @property
    def knows(self) -> Knowledge:
        """Return the most that a step needs to know."""
        known = [step.knows for step in self.steps]
        return max(known, key=KNOWLEDGE.index, default=KNOWLEDGE[0])

    @cached_property
    def data(self) -> DataAttack | None:
        """Return the attack on data, made from its parameters; None if there is none."""
        made: list[DataAttack] = [
            step.spec.apply(**step.parameters) for step in self.steps if step.spec.kind == "data"
        ]
        return made[0] if made else None

    @cached_property
    def alpha(self) -> float:
        """Return α of the loss by which the hostile train, see ``Proximal``; 1 is the usual."""
        for step in self.steps:
            name = step.spec.loss_weight
            if name is not None:
                usual = step.spec.parameters[name].default
                weight: Any = step.parameters.get(name, usual)
                check_share(step.spec.name, weight, name=name)
                return float(weight)
        return 1.0

    @property
    def on_update(self) -> bool:
        """Return whether a step is on the update; ``forge`` hands it back as it is otherwise."""
        return any(step.spec.kind == "update" for step in self.steps)

    @property
    def looks_at_own(self) -> bool:
        """Return whether it matters to ``forge`` what the hostile would have sent."""
        return all(step.spec.looks_at_own for step in self.steps if step.spec.kind == "update")

    def forged_apart(self, members: int) -> bool:
        """Return whether ``members`` hostile ones, each by itself, forge the same as together.

        Each has its own update and n, and nothing to draw from. One member needs no other;
        several differ unless the attack goes row by row.

        >>> [build_attack("model_replacement").forged_apart(members) for members in (1, 2)]
        [True, False]
        """
        return self.knows == KNOWLEDGE[0] and all(
            not step.spec.supplied and (members == 1 or step.spec.by_row)
            for step in self.steps
            if step.spec.kind == "update"
        )

    def forge(self, view: UpdateView, *, rng: np.random.Generator) -> Forged:
        """Return what the hostile members send; a pure function of its arguments.

        Parameters
        ----------
        view
            All that could be known. The attack is shown what its ``AttackSpec`` says that it
            knows, and nothing else.
        rng
            For an attack that draws.

        Returns
        -------
        Forged
            ``rows`` (k, d) of the dtype of ``view.own``, the state for the next round.

        Raises
        ------
        UnforgeableError
            If the updates leave the attack nothing to work from: it needs honest ones and the
            view has none, or the defense refuses so few.
        ConfigurationError
            If the attack needs the defense, and the view has none.
        UpdateError
            If an attack of one's own returns rows of another shape or dtype.

        """
        steps = [step for step in self.steps if step.spec.kind == "update"]
        if not steps or not len(view.own):
            return Forged(view.own.copy(), view.state)
        (step,) = steps
        given: dict[str, Any] = {"rng": rng} if "rng" in step.spec.supplied else {}
        forged: Forged = step.spec.apply(_shown(step, view), **given, **step.parameters)
        if forged.rows.shape != view.own.shape or forged.rows.dtype != view.own.dtype:
            msg = (
                f"{step.spec.name} must return {view.own.dtype} rows of shape {view.own.shape}; "
                f"got {forged.rows.dtype} of {forged.rows.shape}."
            )
            raise UpdateError(msg)
        return forged


def build_attack(description: str) -> Attack:
    """Read ``"alie(z=1.5)"``, ``"patch_backdoor(target=0) | model_replacement"`` or ``"none"``.

    Raises
    ------
    UnknownNameError
        For an attack or a parameter that does not exist; the near miss is named.
    ConfigurationError
        For a text that cannot be read, a wrong value or a wrong order.

    Example
    -------
    >>> str(build_attack("gaussian(deviation=2)")), str(build_attack("none"))
    ('gaussian(deviation=2.0)', 'none')
    >>> build_attack("sing_flip")
    Traceback (most recent call last):
    ...
    quickthorn.strategies.errors.UnknownNameError: unknown attack 'sing_flip'; \
did you mean 'sign_flip'? Known: ...

    """
    if description.strip() == "none":
        return Attack()
    whole = f"the attack {description!r}"
    calls = [parse_call(part, whole=whole) for part in description.split("|")]
    return Attack(tuple(AttackStep(find_attack(name), values) for name, values in calls))


def _shown(step: AttackStep, view: UpdateView) -> UpdateView:
    """Return the view with no more in it than the attack knows."""
    sees_honest, sees_defense = step.knows != "own data", step.knows == "the defense"
    if sees_honest and not len(view.honest):
        msg = f"{step.spec.name} works from honest updates; got none. Leave an honest client."
        raise UnforgeableError(msg)
    if sees_defense and view.defense is None:
        msg = f"{step.spec.name} works from the defense's answers; the view has no defense."
        raise ConfigurationError(msg)
    hidden: dict[str, Any] = {} if sees_defense else {"defense": None}
    if not sees_honest:
        hidden |= {"honest": view.honest[:0], "clients": ()}
    return replace(view, **hidden)
