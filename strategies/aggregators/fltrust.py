"""FLTrust (Cao et al. 2021): the server's own update decides whom to trust, and how far to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.angles import angles_to, exponents_of, mix_scaled
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


def fltrust(values: Rows, *, trusted: Array) -> Aggregate:
    """Average the updates, each at the length of the server's, by their agreement with it.

        A(x) = Σ t_i x̂_i / Σ t_i,   t_i = max(cos(x_i, g), 0),   x̂_i = x_i ‖g‖ / ‖x_i‖

    g is what the server itself learned from a small root set that it trusts, by the same local
    procedure as the clients (as many epochs: one gradient step would be of another kind).
    Whoever points away from g has no say, and no update is longer than g, so that even a
    majority of liars moves the model by at most ‖g‖ in a direction within 90 degrees of g.
    It learns no more than the root set knows the direction of: the root set has to be clean
    and has to cover what the clients learn. Where nobody is trusted, or g or every update is
    zero, the result is zero.

    Parameters
    ----------
    values
        (n, d) updates; at least f + 1, so that one of them is honest.
    trusted
        g, (d,) the server's own update in this round.

    Returns
    -------
    Aggregate
        (d,) vector. Influence is t_i / Σ t_i, a client's share in the direction: it counts the
        updates at their common length, x̂_i. All zero where nobody is trusted.

    Example
    -------
    >>> rows = np.array([[3.0, 4.0], [0.6, 0.8], [-50.0, 0.0]])
    >>> outcome = fltrust(rows, trusted=np.array([0.0, 2.0]))
    >>> outcome.vector, outcome.influence
    (array([1.2, 1.6]), array([0.5, 0.5, 0. ]))

    References
    ----------
    Cao et al., "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping",
    NDSS 2021, section IV.

    """
    exponents = exponents_of(values)
    angles = angles_to(trusted, values, exponents)
    trust = np.maximum(angles.cosines, 0.0)
    total = float(np.add.reduce(trust))
    if total == 0.0:
        return Aggregate(np.zeros(values.shape[1], values.dtype), np.zeros(len(values)))
    influence = trust / total
    factors = influence / np.maximum(angles.lengths, 0.5)  # only zero rows are shorter
    return Aggregate(mix_scaled(factors, values, exponents, length=angles.length), influence)


SPEC = Spec(
    name="fltrust",
    kind="aggregator",
    apply=fltrust,
    min_clients=lambda byzantine: byzantine + 1,
    traits=frozenset({"scale", "rotation"}),
    complexity="O(n d), and one training at the server",
    reference="Cao et al., NDSS 2021",
)
