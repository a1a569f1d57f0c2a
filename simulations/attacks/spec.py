"""What an attack is: what it sees, what it hands back, and the ``AttackSpec`` that describes it.

An attack on updates is a pure function of an ``UpdateView`` (and of a random generator, where
it draws) that returns ``Forged`` rows. An attack on data is an object that poisons a data set.
Who is hostile is decided by whoever runs the simulation, never by an attack.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.parameters import own_parameters, summary_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset

Kind = Literal["data", "update"]
Knowledge = Literal["own data", "all honest updates", "the defense"]

# What an attack knows, each including those before it.
KNOWLEDGE: tuple[Knowledge, ...] = ("own data", "all honest updates", "the defense")

# Keywords that whoever runs the attack supplies; every other is the user's parameter.
SUPPLIED = frozenset({"rng"})

Rows = np.ndarray[Any, np.dtype[np.float32]]


class UnforgeableError(ConfigurationError):
    """The updates of this round leave an attack nothing to work from: too few honest, say.

    It costs the hostile that one attack: in such a round they send what they have.
    """


def _nothing() -> Rows:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class UpdateView:
    """What the hostile members of one round look at, together. All arrays are read-only.

    Attributes
    ----------
    own
        (k, d) deltas that the k hostile members would send honestly, after their attack on
        data, or trained by their attack's loss; float32, or float64 where the model is.
    honest
        (h, d) deltas of the honest members of this round, those that the server admits; (0, d)
        where an attack knows only its own.
    byzantine
        f, how many liars the defense assumes, for what an attack foresees of it. Not k, how many
        there are, by which a formula counts the hostile: that is the number of rows in ``own``.
    defense
        (h + k, d) values to the (d,) vector that the server would make of them: a question,
        with no effect on the server. None where the defense is unknown.
    model
        (d,) flat weights that the server sent; zeros unless they are given.
    previous
        (d,) the step that the model made in the round before; zeros in the first, and
        unless it is given.
    round
        Counted from 1.
    state
        What the attack returned in its last round; None in its first.
    longest
        The largest norm of an update that the server admits, whatever the defense.
    cohort
        n, how many clients send in this round; h + k unless it is given.
    clients
        The h ids of the honest members, in the order of the rows, for an attack that follows
        one of them over rounds; the numbers of the rows unless they are given.

    Raises
    ------
    UpdateError
        If the shapes do not fit together.

    Example
    -------
    >>> view = UpdateView(own=np.zeros((1, 2), np.float32), honest=np.ones((3, 2), np.float32))
    >>> view.cohort, view.clients, view.own.flags.writeable
    (4, ('0', '1', '2'), False)

    """

    own: Rows
    honest: Rows
    byzantine: int = 0
    defense: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    model: Rows = field(default_factory=_nothing)
    previous: Rows = field(default_factory=_nothing)
    round: int = 1
    state: Any = None
    longest: float = math.inf
    cohort: int = 0
    clients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes, fill in what is left out, and lock the arrays."""
        columns = self.own.shape[-1]
        vectors = {
            name: vector if len(vector) else np.zeros(columns, np.float32)
            for name, vector in (("model", self.model), ("previous", self.previous))
        }
        shapes = [array.shape for array in (self.own, self.honest, *vectors.values())]
        if shapes != [(len(self.own), columns), (len(self.honest), columns), *[(columns,)] * 2]:
            msg = f"a view needs own (k, d), honest (h, d), model and previous (d,); got {shapes}."
            raise UpdateError(msg)
        clients = self.clients or tuple(map(str, range(len(self.honest))))
        if len(clients) != len(self.honest):
            msg = f"a view needs one id per honest row: {len(self.honest)}; got {len(clients)}."
            raise UpdateError(msg)
        for name, array in {"own": self.own, "honest": self.honest, **vectors}.items():
            locked = array.view()
            locked.flags.writeable = False
            object.__setattr__(self, name, locked)
        object.__setattr__(self, "clients", clients)
        object.__setattr__(self, "cohort", self.cohort or len(self.own) + len(self.honest))


@dataclass(frozen=True, eq=False)
class Forged:
    """What the k hostile members send, and what they remember for their next round.

    Attributes
    ----------
    rows
        (k, d) of the dtype of ``own``, memory of its own.
    state
        Arrays, numbers and texts in a mapping; None if nothing has to be remembered.

    """

    rows: Rows
    state: Mapping[str, Any] | None = None


class DataAttack(Protocol):
    """An attack on data, made from its parameters."""

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return what hostile member number ``member`` of ``members`` trains on."""


@runtime_checkable
class Backdoor(Protocol):
    """An attack on data whose success is measured on triggered samples."""

    target: int

    def trigger(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the samples with the trigger on them, a new array."""


@dataclass(frozen=True, kw_only=True)
class AttackSpec:
    """What the library knows about one attack, beside its arithmetic.

    Attributes
    ----------
    name, kind
        How it is called in a text form, and what it is on.
    apply
        On updates: the pure function of an ``UpdateView`` that returns ``Forged``. On data:
        what makes the ``DataAttack``. Keyword-only arguments other than ``rng`` are
        parameters with their annotations and defaults.
    knows
        The most that it needs to know; it is shown no more.
    reference
        For people, and for the reference page.
    slow
        Whether it takes many times as long as the training that it attacks.
    looks_at_own
        On updates: whether it looks at what the hostile would send, and not at its shape only.
        Where it does not, they need not train.
    loss_weight
        On updates: the parameter, above 0 and at most 1, that weighs the loss beside the distance
        from the model that was sent when its members train, see
        ``quickthorn.simulations.proximal``. None, unless told.
    knows_by
        The parameter on which it depends whether it needs to know that: with any other value
        than the default its own data suffice. None, unless told.
    by_row
        On updates: whether each row depends, of the rows of ``own``, on the same one alone, so
        that members who know their own data and nothing of each other forge the same. Not,
        unless told.

    """

    name: str
    kind: Kind
    apply: Callable[..., Any]
    knows: Knowledge
    reference: str
    slow: bool = False
    looks_at_own: bool = True
    loss_weight: str | None = None
    knows_by: str | None = None
    by_row: bool = False

    @property
    def supplied(self) -> frozenset[str]:
        """Return the keywords that whoever runs the attack has to supply."""
        return SUPPLIED & inspect.signature(self.apply).parameters.keys()

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Return the user's parameters, annotations resolved, in the order of the signature."""
        return own_parameters(self.apply, SUPPLIED)

    @property
    def summary(self) -> str:
        """Return the first line of the docstring."""
        return summary_of(self.apply)
