"""The shares of positive, zero and negative signs of the update against the usual ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.order import median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts


def signs(facts: Facts) -> Signal:
    """Measure how many signs of each update are not as the others have them.

        t_i = (|p_i − p̃| + |z_i − z̃| + |q_i − q̃|) / 2

    p, z and q are the shares of positive, zero and negative coordinates, with their medians
    over the clients. Updates that keep to the usual length and distance, such as those of "a
    little is enough", may shift many small coordinates over zero; sparse updates and free-riders
    have zeros. A sign flip exchanges p and q: where both are near one half, nothing is to be seen.

    Parameters
    ----------
    facts
        Of (n, d) updates.

    Returns
    -------
    Signal
        (n,) shares from 0 to 1; large is suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> signs(Facts(np.array([[1.0, -2.0], [3.0, -1.0], [-1.0, -1.0]]))).values
    array([0. , 0. , 0.5])

    References
    ----------
    Xu, Huang, Song and Lan, ICDCS 2022 (SignGuard), there on drawn coordinates.

    """
    d = facts.values.shape[1]
    positive, negative = facts.survey.signs.T / d
    shares = np.stack([positive, 1.0 - positive - negative, negative], axis=1)
    unlike = np.abs(shares - median(shares)).sum(axis=1) / 2.0
    return Signal(
        values=unlike,
        position=unlike,
        two_sided=False,
        # A share of d signs drawn at random has a deviation of up to 1 / (2 √d).
        resolution=0.01 + 0.5 / float(np.sqrt(d)),
        words=(
            "has unusual signs ({value:.3f} of them differ from the usual shares, "
            "of the others' {low:.3f} to {high:.3f})"
        ),
    )


SPEC = Spec(
    name="signs",
    kind="scorer",
    apply=signs,
    min_clients=lambda _byzantine: 3,
    complexity="O(n d)",
    reference="Xu et al., ICDCS 2022",
)
