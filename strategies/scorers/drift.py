"""Direction of the update against the client's own earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.past import Past


def drift(facts: Facts, *, clients: Sequence[str], past: Past) -> Signal:
    """Measure by how much an update agrees less than usual with the client's own earlier ones.

        c_i = cos(S x_i, p_i),   p_i = running mean of S x_i / ‖S x_i‖ over the rounds before
        t_i = c̄_i − c_i,         c̄_i = running mean of c_i over the rounds before

    S are the sketches of ``kernels.surveys``, 256 numbers for each update. A client that begins
    to lie turns away from where it went; one with unusual data goes its own way in every round,
    and its own way is what counts here. Who lied from the first round on is not seen, and who
    goes on lying has become used to it after some ten rounds.

    Parameters
    ----------
    facts
        Of (n, d) updates, n >= 3.
    clients
        The n client ids.
    past
        What is remembered of them. Who was not there at least twice has no value.

    Returns
    -------
    Signal
        (n,) falls of the cosine, from −2 to 2; large is suspicious.

    Example
    -------
    >>> import numpy as np
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.past import Past
    >>> facts, turned = Facts(np.eye(3)), Facts(np.diag([1.0, 1.0, -1.0]))
    >>> past = Past.of(None).after(facts, "abc").after(facts, "abc")
    >>> drift(turned, clients="abc", past=past).values.round(6)
    array([0., 0., 2.])

    References
    ----------
    After Fung, Yoon and Beschastnikh, RAID 2020 (FoolsGold), which compares the sums of the
    updates of all rounds; there between clients.

    """
    before = past.beside(clients)
    turned = before.habit - before.cosines(facts.sketches[1])
    return Signal(
        values=turned,
        position=turned,
        two_sided=False,
        resolution=0.1,  # nobody stands out by a fall of up to 0.35 more than the median
        words=(
            "turns away from the client's own earlier ones "
            "(by {value:.2f} of cosine, the others by {low:.2f} to {high:.2f})"
        ),
        known=before.count > 1,
    )


SPEC = Spec(
    name="drift",
    kind="scorer",
    apply=drift,
    min_clients=lambda _byzantine: 3,
    complexity="O(n log n · d)",
    reference="after Fung et al., RAID 2020",
)
