"""Length of the update against the client's own earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.facts import log_ratios, ratios_to_median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.past import Past


def growth(facts: Facts, *, clients: Sequence[str], past: Past) -> Signal:
    """Compare the length of each update with the usual length of the client's own.

        g_i = r_i / r̄_i,   r_i = ‖x_i‖ / median_j ‖x_j‖

    r̄_i is the running geometric mean of r_i over the rounds before. A boost that comes with its
    attack is seen, and a free rider whose lengths are those of the model's last steps; a client
    whose updates are always long or short is not.

    Parameters
    ----------
    facts
        Of (n, d) updates, n >= 3.
    clients
        The n client ids.
    past
        What is remembered of them. Who was never there has no value.

    Returns
    -------
    Signal
        (n,) ratios; compared on a logarithmic scale, both sides are suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.past import Past
    >>> past = Past.of(None).after(Facts(np.array([[1.0], [2.0], [8.0]])), "abc")
    >>> growth(Facts(np.array([[1.0], [20.0], [8.0]])), clients="abc", past=past).values.round(2)
    array([0.25, 2.5 , 0.25])

    References
    ----------
    Sun et al., "Can You Really Backdoor Federated Learning?", arXiv:1911.07963, section 3, whose
    bound on the length is here each client's own.

    """
    before = past.beside(clients)
    grown = log_ratios(ratios_to_median(facts.lengths)) - before.ratio
    return Signal(
        values=np.exp(grown),
        position=grown,
        two_sided=True,
        resolution=0.2,  # nobody stands out by half to twice the usual length
        words=(
            "is {value:.3g} times as long as the client's own earlier ones, in median lengths "
            "(the others {low:.2f} to {high:.2f})"
        ),
        known=before.count > 0,
    )


SPEC = Spec(
    name="growth",
    kind="scorer",
    apply=growth,
    min_clients=lambda _byzantine: 3,
    complexity="O(n log n · d)",
    reference="after Sun et al., arXiv:1911.07963",
)
