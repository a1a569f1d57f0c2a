"""How well the client's last update and the usual change foretell the update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.facts import log_ratios, ratios_to_median
from quickthorn.strategies.kernels.order import median
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.scoring import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quickthorn.strategies.facts import Facts
    from quickthorn.strategies.past import Past

# The usual change of fewer clients is no more than the change of one of them.
_FEWEST = 3
# Longer updates, in median lengths, are cut to this.
_LONGEST = 1e3
# Directions are kept in float32: below this, in median lengths, a difference is rounding.
_ROUNDING = 1e-5


def consistency(facts: Facts, *, clients: Sequence[str], past: Past) -> Signal:
    """Compare how far each update lies from what was to be expected of the client.

        e_i = ‖S x_i − (S x'_i + Δ)‖,   Δ = median_j (S x_j − S x'_j),   r_i = e_i / median_j e_j

    x'_i is the client's update of the round before, S the sketch of ``kernels.surveys``. An honest
    update follows the last one as the model moves. FLDetector foretells that move by the product
    of a Hessian that L-BFGS approximates with the step of the model: one vector for all clients.
    Here the coordinate-wise median of what the clients did stands in its place, so that 256
    numbers of each client are all that is kept, and fewer than half of them cannot move it far.

    FLDetector looks for updates that were foretold badly. Those that were foretold too well stand
    out here too: nobody trained them on batches drawn anew (free riders, ALIE, Min-Max).

    Parameters
    ----------
    facts
        Of (n, d) updates, n >= 3.
    clients
        The n client ids.
    past
        What is remembered of them. Who was not there in the round before has no value; where
        fewer than three were, nobody has.

    Returns
    -------
    Signal
        (n,) ratios; compared on a logarithmic scale, both sides are suspicious.

    Example
    -------
    >>> from quickthorn.strategies.facts import Facts
    >>> from quickthorn.strategies.past import Past
    >>> past = Past.of(None).after(Facts(np.array([[1.0], [2.0], [3.0], [4.0]])), "abcd")
    >>> rows = np.array([[2.0], [3.5], [4.0], [-4.0]])
    >>> consistency(Facts(rows), clients="abcd", past=past).values.round(6)
    array([ 0.,  2.,  0., 36.])

    References
    ----------
    Zhang, Cao, Jia and Gong, "FLDetector", KDD 2022, section 4; the prediction is another one, as
    said above, and the scores of several rounds are put together elsewhere.

    """
    before = past.beside(clients)
    known = (before.count > 0) & (before.seen == past.rounds)
    known &= known.sum() >= _FEWEST
    values = np.ones(len(clients))
    if known.any():
        lengths, directions = facts.sketches
        unit = float(median(np.concatenate([lengths[known], before.length[known]]))) or 1.0
        now = _cut(lengths[known] / unit, directions[known])
        change = now - _cut(before.length[known] / unit, before.direction[known])
        change -= median(change)
        missed = np.sqrt((change**2).sum(axis=1))
        missed[missed <= _ROUNDING] = 0.0
        values[known] = ratios_to_median(missed)
    return Signal(
        values=values,
        position=log_ratios(values),
        two_sided=True,
        resolution=0.2,  # nobody stands out by half to twice the median
        words=(
            "is {value:.3g} times as far as the median from what the client's last one foretells "
            "(the others {low:.2f} to {high:.2f})"
        ),
        known=known,
    )


def _cut(lengths: NDArray[np.float64], directions: NDArray[np.floating]) -> NDArray[np.float64]:
    vectors: NDArray[np.float64] = np.minimum(lengths, _LONGEST)[:, None] * directions
    return vectors


SPEC = Spec(
    name="consistency",
    kind="scorer",
    apply=consistency,
    min_clients=lambda _byzantine: 3,
    complexity="O(n log n · d)",
    reference="after Zhang et al., KDD 2022",
)
