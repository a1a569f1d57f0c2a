"""Krum's score of the update against the median score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.aggregators.krum import krum_scores
from quickthorn.strategies.facts import log_ratios, ratios_to_median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts


def krum_distance(facts: Facts, *, byzantine: int) -> Signal:
    """Compare how far each update lies from its n − f − 2 nearest others with the median.

        r_i = √(s_i / median_j s_j),   s_i = Σ_{j ∈ N_i} ‖x_i − x_j‖²

    Parameters
    ----------
    facts
        Of (n, d) updates, n >= f + 3.
    byzantine
        f, how many clients may lie.

    Returns
    -------
    Signal
        (n,) ratios, compared on a logarithmic scale; large is suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> rows = np.array([[0.0], [1.0], [2.0], [3.0], [40.0]])
    >>> krum_distance(Facts(rows), byzantine=1).values.round(1)
    array([ 1. ,  0.6,  0.6,  1. , 23.7])

    References
    ----------
    Blanchard et al., NeurIPS 2017, section 4; here as evidence, whatever rule aggregates.

    """
    distances = np.sqrt(krum_scores(facts.distances, byzantine))
    # An update whose squares overflow is infinitely far; a large number keeps figures finite.
    distances = np.minimum(distances, np.finfo(np.float64).max)
    ratios = ratios_to_median(distances)
    return Signal(
        values=ratios,
        position=log_ratios(ratios),
        two_sided=False,
        resolution=0.2,  # nobody stands out by a distance of up to twice the median
        words=(
            "lies {value:.3g} times as far from its nearest others as the median "
            "(the others {low:.2f} to {high:.2f})"
        ),
    )


SPEC = Spec(
    name="krum_distance",
    kind="scorer",
    apply=krum_distance,
    min_clients=lambda byzantine: byzantine + 3,
    complexity="O(n² d)",
    reference="Blanchard et al., NeurIPS 2017",
)
