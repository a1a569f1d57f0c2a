"""How the client's updates follow the model's move, against how the others' do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.past import Past

# Means are kept in float32: below this, next to what they are means of, a difference is rounding.
_ROUNDING = 1e-5


def response(facts: Facts, *, clients: Sequence[str], past: Past) -> Signal:
    """Measure whether an update changes along the model's move or against it.

        c_i = cos(u_i − ū_i, w − w̄_i),   u_i = S x_i / ‖S x_i‖

    w is the sketch of the model that was sent, S those of ``kernels.surveys``; the bars are
    running means over the client's rounds before. Where a loss curves upward, its gradient grows
    as the model moves up, ⟨g(w) − g(w'), w − w'⟩ ≥ 0, and an update goes down: an honest client's
    updates turn against the model's moves, whatever data it holds, and those of one that climbs
    its loss or sends the model's own steps back turn along. Early in training, before losses
    curve upward, all turn the other way; so the others tell which way is usual.

    Parameters
    ----------
    facts
        Of (n, d) updates, n >= 3, with the model that was sent.
    clients
        The n client ids.
    past
        What is remembered of them. Who was never there has no value, and nobody has where the
        model is not told or has not moved.

    Returns
    -------
    Signal
        (n,) cosines in [−1, 1]; both sides are suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.past import Past
    >>> past = Past.of(None).after(Facts(np.eye(3, 2), model=np.zeros(2)), "abc")
    >>> rows = np.array([[1.0, -1.0], [0.0, 1.0], [0.0, 1.0]])
    >>> response(Facts(rows, model=np.array([0.0, 1.0])), clients="abc", past=past).values.round(2)
    array([-0.92,  0.  ,  1.  ])

    References
    ----------
    Ours. The monotonicity of the gradient of a convex function is in Rockafellar, "Convex
    Analysis", 1970, section 24; FLDetector (Zhang et al., KDD 2022) rests on the same response,
    foretold by a Hessian that all clients share.

    """
    before = past.beside(clients)
    moved = _apart(facts.place, before.place)
    turned = _apart(facts.sketches[1], before.mean)
    lengths = np.sqrt((moved**2).sum(axis=1) * (turned**2).sum(axis=1))
    products = (moved * turned).sum(axis=1)
    cosines = np.clip(products / np.where(lengths > 0, lengths, 1.0), -1.0, 1.0)
    return Signal(
        values=cosines,
        position=cosines,
        two_sided=True,
        resolution=0.1,  # nobody stands out by a cosine of up to 0.35 beside the median
        words=(
            "follows the model's move unlike the others "
            "(by {value:.2f} of cosine, the others by {low:.2f} to {high:.2f})"
        ),
        known=(before.count > 0) & (facts.model is not None) & moved.any(axis=1),
    )


def _apart(now: NDArray[np.float64], mean: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n, 256) differences from the means, zeros where they are rounding."""
    apart = now - mean.astype(np.float64)
    largest = np.abs(now).max(axis=-1)
    apart[np.abs(apart).max(axis=1) <= _ROUNDING * largest] = 0.0
    return np.asarray(apart)


SPEC = Spec(
    name="response",
    kind="scorer",
    apply=response,
    min_clients=lambda _byzantine: 3,
    complexity="O(n log n · d)",
    reference="ours; after Zhang et al., KDD 2022",
)
