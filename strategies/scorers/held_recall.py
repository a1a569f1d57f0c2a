"""Recall of each class on the server's own samples with one update alone applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.held import honest_reach, without_held
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.held import HeldOut

# MAD of a normal distribution times this is its standard deviation.
_MAD_TO_SIGMA = 1.4826

# A recall closer to the median than this is no evidence, however closely the others agree.
_RESOLUTION = 0.05


def held_recall(facts: Facts, *, byzantine: int, held: HeldOut | None) -> Signal:
    """Look for the class whose recall falls most, against the other clients' updates.

        max over c of (median_j r_jc − r_ic) / spread of r_c

    A flip of one class into another, or a backdoor, hardly moves accuracy and loss; the class
    that they work on shows it. Classes that many updates shake do not hide one that only a few
    do: the spread of a class is 1.4826 times the MAD over the clients, or the fall of the
    (f + 1)-th worst if that is larger, for one of so many is honest; and at least 0.05.

    Parameters
    ----------
    facts
        Of (n, d) updates.
    byzantine
        f.
    held
        What the server measured; without it, or without a class, the signal says nothing.

    Returns
    -------
    Signal
        (n,) recalls of that class below the median client's; compared in spreads of the class.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.held import HeldOut
    >>> recalls = np.array([[0.9, 0.8], [0.8, 0.9], [0.9, 0.1]])
    >>> held = HeldOut(0.5, np.ones(3), recalls)
    >>> held_recall(Facts(np.eye(3)), byzantine=1, held=held).values
    array([0. , 0.1, 0.7])

    References
    ----------
    Xie et al., "Zeno", ICML 2019, for the set that the server holds; recall class by class is
    ours.

    """
    if held is None:
        return without_held(len(facts.values))
    classes = np.flatnonzero(~np.isnan(held.recalls).any(axis=0))
    if not len(classes):
        return without_held(len(facts.values))
    recalls = held.recalls[:, classes]
    falls = np.median(recalls, axis=0) - recalls
    usual = _MAD_TO_SIGMA * np.median(np.abs(falls), axis=0)
    spread = np.maximum(np.maximum(usual, honest_reach(falls, byzantine)), _RESOLUTION)
    worst = (falls / spread).argmax(axis=1)
    rows = np.arange(len(falls))
    return Signal(
        values=falls[rows, worst],
        position=(falls / spread)[rows, worst],
        two_sided=False,
        resolution=1.0,
        words=(
            "alone takes the recall of {where} on the server's own samples "
            "{value:.2f} below the median client's (the others {low:.2f} to {high:.2f})"
        ),
        where=[f"class {classes[column]}" for column in worst],
    )


SPEC = Spec(
    name="held_recall",
    kind="scorer",
    apply=held_recall,
    min_clients=lambda byzantine: max(3, byzantine + 1),
    complexity="O(n d), and n + 1 evaluations by the server",
    reference="after Xie et al., ICML 2019",
)
