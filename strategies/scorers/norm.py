"""Length of the update against the median length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.facts import log_ratios, ratios_to_median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts


def norm(facts: Facts) -> Signal:
    """Compare the length of each update with the median length; long and short both stand out.

        r_i = ‖x_i‖ / median_j ‖x_j‖

    Boosted updates (model replacement) are long, free-riders that send nothing are short.

    Parameters
    ----------
    facts
        Of (n, d) updates.

    Returns
    -------
    Signal
        (n,) ratios; compared on a logarithmic scale.

    Example
    -------
    >>> import numpy as np
    >>> from quickthorn.strategies.facts import Facts
    >>> norm(Facts(np.array([[1.0], [1.0], [-8.0]]))).values
    array([1., 1., 8.])

    References
    ----------
    Sun et al., "Can You Really Backdoor Federated Learning?", arXiv:1911.07963, section 3.

    """
    ratios = ratios_to_median(facts.lengths)
    return Signal(
        values=ratios,
        position=log_ratios(ratios),
        two_sided=True,
        resolution=0.2,  # nobody stands out by a length of half to twice the median
        words="is {value:.3g} times as long as the median (the others {low:.2f} to {high:.2f})",
    )


SPEC = Spec(
    name="norm",
    kind="scorer",
    apply=norm,
    min_clients=lambda _byzantine: 1,
    complexity="O(n d)",
    reference="Sun et al., arXiv:1911.07963",
)
