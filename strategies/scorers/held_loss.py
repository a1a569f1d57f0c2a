"""Loss on the server's own samples with one update alone applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.held import honest_reach, without_held
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.held import HeldOut

# Nobody stands out by less than 2 % of the loss before.
_RESOLUTION = 0.005

# Beyond a thousand times the loss before the figure says nothing more.
_LARGEST = 1000.0


def held_loss(facts: Facts, *, byzantine: int, held: HeldOut | None) -> Signal:
    """Compare where each update alone takes the loss on samples that the server holds itself.

        l_i = L(w + x_i)

    Zeno ranks by the descent L(w) − L(w + γ x_i) less ρ ‖x_i‖²; here each is compared with the
    others, and the length is a signal of its own.

    Parameters
    ----------
    facts
        Of (n, d) updates.
    byzantine
        f: the loss of the (f + 1)-th worst is one that an honest client may have, and nobody
        stands out that is not 3.5 times as far above the median.
    held
        What the server measured; without it the signal says nothing.

    Returns
    -------
    Signal
        (n,) losses, at most 1000 times the loss before; compared in units of the loss before.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.held import HeldOut
    >>> held = HeldOut(0.5, np.array([0.4, 0.45, np.inf]), np.ones((3, 2)))
    >>> held_loss(Facts(np.eye(3)), byzantine=1, held=held).values
    array([4.0e-01, 4.5e-01, 5.0e+02])

    References
    ----------
    Xie et al., "Zeno: Distributed Stochastic Gradient Descent with Suspicion-based
    Fault-tolerance", ICML 2019, definition 2.

    """
    if held is None:
        return without_held(len(facts.values))
    before = abs(held.loss) or 1.0
    losses = np.clip(held.losses, -_LARGEST * before, _LARGEST * before)
    position = losses / before
    reach = honest_reach(position - np.median(position), byzantine)
    return Signal(
        values=losses,
        position=position,
        two_sided=False,
        resolution=max(float(reach), _RESOLUTION),
        words=(
            "alone takes the loss on the server's own samples "
            f"from {held.loss:.3g} to {{value:.3g}} (the others to {{low:.3g}} to {{high:.3g}})"
        ),
    )


SPEC = Spec(
    name="held_loss",
    kind="scorer",
    apply=held_loss,
    min_clients=lambda byzantine: byzantine + 1,
    complexity="O(n d), and n + 1 evaluations by the server",
    reference="Xie et al., ICML 2019",
)
