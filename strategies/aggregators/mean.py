"""The arithmetic mean: optimal without liars, owned by the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.rows import combine
from quickthorn.strategies.registry import Spec
from quickthorn.strategies.updates import Aggregate

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.rows import Rows


def mean(values: Rows) -> Aggregate:
    """Average the updates, each client alike; no defense at all.

        A(x) = 1/n Σ x_i

    Parameters
    ----------
    values
        (n, d) updates.

    Returns
    -------
    Aggregate
        (d,) vector, influence 1/n each.

    Example
    -------
    >>> mean(np.array([[0.0, 2.0], [4.0, 0.0]])).vector
    array([2., 1.])

    References
    ----------
    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized
    Data", AISTATS 2017, Algorithm 1 (there weighted by the clients' claimed sample counts).

    """
    influence = np.full(len(values), 1.0 / len(values))
    return Aggregate(combine(influence[None, :], values)[0], influence)


SPEC = Spec(
    name="mean",
    kind="aggregator",
    apply=mean,
    min_clients=lambda _byzantine: 1,
    traits=frozenset({"translation", "scale", "rotation"}),
    complexity="O(n d)",
    reference="McMahan et al., AISTATS 2017",
)
