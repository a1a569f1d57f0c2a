"""Direction of the update against the coordinate-wise median."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts


def cosine(facts: Facts) -> Signal:
    """Measure the cosine between each update and the coordinate-wise median of all.

        c_i = ⟨x_i, m⟩ / (‖x_i‖ ‖m‖),   m = median(x_1, …, x_n)

    Sign flips and flipped labels point away from where the others go. An update or a median
    of length zero has cosine 0.

    Parameters
    ----------
    facts
        Of (n, d) updates.

    Returns
    -------
    Signal
        (n,) cosines in [−1, 1]; small is suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> cosine(Facts(np.array([[1.0, 0.0], [2.0, 0.0], [-3.0, 0.0]]))).values
    array([ 1.,  1., -1.])

    References
    ----------
    Cao et al., "FLTrust", NDSS 2021, section IV (there against a server's own update).

    """
    scales = np.ldexp(1.0, -facts.exponents)
    lengths, length = facts.lengths * scales, facts.center_length * scales
    # One after the other: their product could overflow.
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines = facts.survey.products / lengths / length
    cosines = np.clip(np.nan_to_num(cosines), -1.0, 1.0)
    return Signal(
        values=cosines,
        position=-cosines,
        two_sided=False,
        resolution=0.05,  # nobody stands out by a cosine of up to 0.17 below the median
        words=(
            "points away from the others (cosine {value:.2f}, the others {low:.2f} to {high:.2f})"
        ),
    )


SPEC = Spec(
    name="cosine",
    kind="scorer",
    apply=cosine,
    min_clients=lambda _byzantine: 1,
    complexity="O(n log n · d)",
    reference="Cao et al., NDSS 2021, with the median in place of the server's update",
)
