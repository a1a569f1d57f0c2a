"""Momentum at the server (Hsu et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quickthorn.strategies.optimizers.adam import check_decay, recall
from quickthorn.strategies.optimizers.sgd import check_rate
from quickthorn.strategies.registry import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.strategies.updates import Array


def momentum(
    vector: Array,
    *,
    state: Mapping[str, Any] | None,
    learning_rate: float = 1.0,
    beta: float = 0.9,
) -> tuple[Array, dict[str, Any]]:
    """Move the model by a sum of all aggregates, the older the less.

        m ← β m + Δ,   w ← w + η m

    Not damped, as in the paper: under a steady aggregate the steps grow to 1/(1 − β) times it.

    Parameters
    ----------
    vector
        Δ, (d,) the aggregate of the round.
    state
        ``{"momentum": (d,) float64}`` of the round before, None in the first (m = 0).
    learning_rate
        η > 0.
    beta
        β, from 0 to below 1.

    Returns
    -------
    tuple[Array, dict[str, Any]]
        (d,) step of the dtype of ``vector``, and the state.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range.
    UpdateError
        If the state is of another length than the aggregate.

    Example
    -------
    >>> import numpy as np
    >>> step, state = momentum(np.array([1.0]), state=None, beta=0.5)
    >>> momentum(np.array([1.0]), state=state, beta=0.5)[0]
    array([1.5])

    References
    ----------
    Hsu et al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
    Classification", arXiv:1909.06335, section 4.1 (FedAvgM).

    """
    check_rate("momentum", learning_rate)
    check_decay("momentum", beta=beta)
    velocity = recall(state, "momentum", vector, first=0.0)
    velocity *= beta
    velocity += vector
    return (learning_rate * velocity).astype(vector.dtype), {"momentum": velocity}


SPEC = Spec(
    name="momentum",
    kind="optimizer",
    apply=momentum,
    min_clients=lambda _byzantine: 1,
    complexity="O(d)",
    reference="Hsu et al., arXiv:1909.06335",
)
