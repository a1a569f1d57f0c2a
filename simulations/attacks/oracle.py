"""Ask the defense what it would do, and look for the worst answer along a line.

A rule that follows from inner products alone (its ``Spec`` claims ``rotation``) gives the same
answer, turned, for the same updates in any orthonormal basis. The honest updates and the
direction span at most h + 1 dimensions; in a basis of that span, found once from their
products, a question costs what the rule costs on n rows of h + 1 columns, whatever d is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.simulations.attacks.honest import Vector, copies, dots, mean_of
from quickthorn.simulations.attacks.spec import UnforgeableError
from quickthorn.strategies.errors import ConfigurationError, QuickthornError
from quickthorn.strategies.kernels.pairwise import gram
from quickthorn.strategies.kernels.rows import LARGEST
from quickthorn.strategies.updates import UpdateMatrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quickthorn.simulations.attacks.spec import UpdateView
    from quickthorn.strategies.defense import Defense

# By how much, relative to the best, a probe has to be worse for the defense to count.
_WORTH = 1e-3
# The argument of a defense that is no update, not even where n = d.
_CLAIMS = "weights"


class UnansweredError(UnforgeableError):
    """The defense has no answer to a question: for so few clients, say."""


@dataclass(frozen=True, eq=False)
class Oracle:
    """The server's defense as an attacker may ask it: no question changes the server.

    Attributes
    ----------
    defense
        The pipeline.
    arguments
        What ``Defense.aggregate`` gets beside the updates in this round: ``weights``,
        ``trusted``, ``layout``, ``state``. In all but the first an array whose last axis is as
        long as an update is taken for updates.
    clients
        The n ids in the order of the rows, for a rule that remembers clients by id; they are
        the numbers of the rows without them.
    seed
        Of the generator that each question starts anew, for a rule that draws, as
        ``np.random.default_rng`` takes it. Another one than the server's keeps its draws
        unknown.

    Example
    -------
    >>> from quickthorn.strategies import build
    >>> ask = Oracle(build("weighted_mean", byzantine=0))
    >>> ask.told(weights=np.array([3.0, 1.0]))(np.array([[1.0], [2.0]]))
    array([1.25])

    """

    defense: Defense
    arguments: Mapping[str, Any] = field(default_factory=dict)
    clients: tuple[str, ...] = ()
    seed: int | tuple[int, ...] = 0

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the (d,) vector that the defense makes of the (n, d) values.

        Raises
        ------
        UnansweredError
            If the defense refuses them.

        """
        rng = np.random.default_rng(self.seed)
        try:
            updates = UpdateMatrix(values, self.clients) if self.clients else values
            return self.defense.aggregate(updates, rng=rng, **self.arguments).vector
        except QuickthornError as error:
            msg = f"the defense has no answer for the attack: {error}"
            raise UnansweredError(msg) from error

    def told(self, **arguments: Any) -> Oracle:  # noqa: ANN401 - as ``aggregate`` takes them
        """Return the oracle with more arguments, or others."""
        return replace(self, arguments={**self.arguments, **arguments})

    @property
    def turns(self) -> bool:
        """Return whether every step follows from inner products alone."""
        return all("rotation" in step.spec.traits for step in self.defense.steps)


def damage_along(view: UpdateView, direction: Vector) -> Callable[[float], float]:
    """Return τ ↦ ‖A(honest and k times m_H + τ p) − m_H‖.

    It is 0 where the row is longer than the server admits: the defense never sees it.

    Parameters
    ----------
    view
        ``honest`` (h, d), ``defense`` and ``longest``.
    direction
        p, (d,).

    """
    if isinstance(view.defense, Oracle) and view.defense.turns:
        vectors = [*_updates_in(view.defense.arguments, len(direction)), direction]
        if len(view.honest) + len(vectors) < len(direction):
            return _within_span(view, view.defense, np.array(vectors))
    return _by_rows(view, direction)


def _by_rows(view: UpdateView, direction: Vector) -> Callable[[float], float]:
    """Ask with all n rows as they are."""
    ask, h = view.defense, len(view.honest)
    assert ask is not None  # noqa: S101 - an attack that knows the defense is shown it
    mean = mean_of(view.honest)
    values = np.concatenate([view.honest, view.own])

    def damage(tau: float) -> float:
        values[h:] = copies(mean + tau * direction, view)
        if _refused(view, values[h]):
            return 0.0
        return float(np.linalg.norm(ask(values) - mean))

    return damage


def _within_span(view: UpdateView, oracle: Oracle, vectors: Vector) -> Callable[[float], float]:
    """Ask with coordinates in an orthonormal basis; the last of the vectors is p."""
    h, k = len(view.honest), len(view.own)
    cross = dots(view.honest, vectors)
    products = np.block([[gram(view.honest), cross], [cross.T, vectors @ vectors.T]])
    # G = V Λ Vᵀ: the rows of V √Λ have the same inner products as the vectors.
    levels, axes = np.linalg.eigh(products)
    places = axes * np.sqrt(np.maximum(levels, 0.0))
    honest, others, direction = places[:h], places[h:-1], places[-1]
    arguments = _with_updates(oracle.arguments, vectors.shape[1], iter(others))
    # The layout names columns, of which a rule that turns with the updates has none.
    ask = replace(oracle, arguments=arguments).told(layout=None)
    mean = honest.mean(axis=0)
    values = np.concatenate([honest, np.zeros((k, len(mean)))])

    def damage(tau: float) -> float:
        values[h:] = mean + tau * direction
        if _refused(view, values[h]):
            return 0.0
        return float(np.linalg.norm(ask(values) - mean))

    return damage


def _refused(view: UpdateView, row: NDArray[Any]) -> bool:
    """Return whether the server refuses a row: for its length, or as it is not finite."""
    length = float(np.linalg.norm(row.astype(np.float64)))
    return not length <= min(view.longest, LARGEST)


def _updates_in(value: object, columns: int) -> list[Vector]:
    """Return every vector of ``columns`` numbers inside the arguments of a defense."""
    if isinstance(value, Mapping):
        given = [item for key, item in value.items() if key != _CLAIMS]
        return [vector for item in given for vector in _updates_in(item, columns)]
    if isinstance(value, np.ndarray) and value.shape[-1:] == (columns,):
        return list(value.reshape(-1, columns).astype(np.float64))
    return []


def _with_updates(value: Any, columns: int, places: Any) -> Any:  # noqa: ANN401 - any argument
    """Return the arguments with every such vector replaced by the next of ``places``."""
    if isinstance(value, Mapping):
        return {
            key: item if key == _CLAIMS else _with_updates(item, columns, places)
            for key, item in value.items()
        }
    if isinstance(value, np.ndarray) and value.shape[-1:] == (columns,):
        moved = np.array([next(places) for _ in range(value.size // columns)])
        return moved.reshape(*value.shape[:-1], -1)
    return value


def worst_tau(damage: Callable[[float], float], *, evaluations: int, step: float) -> float:
    """Return the τ ≥ 0 with the largest damage among the probes.

    From 0, steps that double while the damage grows; then steps back and forth about the
    best τ so far, each 0.8 times as long. A probe that adds less than a thousandth is no
    better, so that no plateau is climbed without end.

    Parameters
    ----------
    damage
        τ to a number; one that is not finite is no improvement.
    evaluations
        How many questions, at least 1.
    step
        The first step, above 0.

    Example
    -------
    >>> worst_tau(lambda tau: min(tau, 6.0 - tau), evaluations=20, step=2.0)
    3.0

    """
    best, height, probe = 0.0, damage(0.0), 0.0
    left, growing = evaluations - 1, True
    while left:
        if growing:
            probe = best + step
        elif probe < best:
            probe += step
        else:
            probe -= min(step, probe / 2.0)
        found = damage(probe)
        left -= 1
        better = height * (1.0 + _WORTH) < found < np.inf
        if better:
            best, height = probe, found
        growing = growing and better
        step *= 2.0 if growing else 0.8
    return best


def check_search(name: str, evaluations: int, step: float) -> None:
    """Raise a ``ConfigurationError`` for parameters with which nothing can be searched."""
    if evaluations < 1 or step <= 0:
        msg = (
            f"{name} needs evaluations of at least 1 and a step above 0; "
            f"got {evaluations} and {step}."
        )
        raise ConfigurationError(msg)
