"""How closely the update points the way of its most similar other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.facts import ratios_to_median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts

# Cosines that differ from 1 by less than this differ by rounding.
_ROUNDING = 1e-12
# The closest that counts, in medians of 1 − cosine. Honest clients with the same few classes come
# within a tenth, none within a thousandth; a copy must stand out beside them.
_CLOSEST = 1e-6


def similarity(facts: Facts) -> Signal:
    """Compare the cosine of each update to its most similar other with what is usual.

        a_i = 1 − max_{j ≠ i} cos(x_i, x_j),   r_i = a_i / median_j a_j

    Sybils, copied updates and mimics point the same way as another; honest updates are alike
    too when data are, so a_i counts in units of the median. Copies at another length are
    seen. Who copied whom is not: a client whose update was copied stands out beside its
    copier. Updates of zeros have no direction and are alike to nobody. Where half of all have
    a double, nobody stands out.

    Parameters
    ----------
    facts
        Of (n, d) updates.

    Returns
    -------
    Signal
        (n,) largest cosines to another; ratios compare on a logarithmic scale, small ones are
        suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> rows = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]])
    >>> similarity(Facts(rows)).values.round(2)
    array([0.58, 0.58, 0.58, 1.  , 1.  ])

    References
    ----------
    Fung, Yoon and Beschastnikh, RAID 2020 (FoolsGold), there on the sums of all rounds.

    """
    others = facts.cosines.copy()
    np.fill_diagonal(others, -1.0)
    largest = others.max(axis=1)
    apart = 1.0 - largest
    apart[apart < _ROUNDING] = 0.0
    ratios = ratios_to_median(apart)
    return Signal(
        values=largest,
        position=-np.log(np.maximum(ratios, _CLOSEST)),
        two_sided=False,
        resolution=0.6,  # nobody stands out by an eighth of the median of 1 − cosine
        words=(
            "points almost the way of another one (cosine {value:.4f}, "
            "the others at most {low:.4f} to {high:.4f})"
        ),
    )


SPEC = Spec(
    name="similarity",
    kind="scorer",
    apply=similarity,
    min_clients=lambda _byzantine: 3,
    complexity="O(n² d)",
    reference="Fung et al., RAID 2020",
)
