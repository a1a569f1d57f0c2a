"""Yogi at the server (Reddi et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.optimizers.adam import adapt, check_adaptive
from quickthorn.strategies.registry import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.strategies.updates import Array


def yogi(  # noqa: PLR0913 - the paper's parameters
    vector: Array,
    *,
    state: Mapping[str, Any] | None,
    learning_rate: float = 0.1,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
) -> tuple[Array, dict[str, Any]]:
    """Move each weight at a rate of its own, as Adam does, with a rate that rises slowly.

        m ← β₁ m + (1 − β₁) Δ,   v ← v − (1 − β₂) Δ² sign(v − Δ²),   w ← w + η m / (√v + τ)

    v changes by a share of Δ², not of the difference to it: after one large aggregate the
    steps stay small for longer. m begins at 0 and v at τ².

    Parameters
    ----------
    vector
        Δ, (d,) the aggregate of the round.
    state
        ``{"first": (d,), "second": (d,)}`` float64 of the round before, None in the first.
    learning_rate
        η > 0, in the unit of a weight.
    beta_1
        β₁, from 0 to below 1.
    beta_2
        β₂, from 0 to below 1.
    tau
        τ > 0, in the unit of an update: what counts as small.

    Returns
    -------
    tuple[Array, dict[str, Any]]
        (d,) step of the dtype of ``vector``, and the state.

    Raises
    ------
    ConfigurationError
        If a parameter is out of its range.
    UpdateError
        If the state is of another length than the aggregate, or a square leaves float64.

    Example
    -------
    >>> step, state = yogi(np.array([1.0, 0.01]), state=None)
    >>> step.round(4), state["second"].round(6)
    (array([0.099 , 0.0414]), array([1.0001e-02, 2.0000e-06]))

    References
    ----------
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2 (FedYogi).

    """
    check_adaptive("yogi", learning_rate, beta_1, beta_2, tau)
    return adapt(
        vector,
        state,
        lambda second, squares: second - (1.0 - beta_2) * squares * np.sign(second - squares),
        learning_rate=learning_rate,
        beta_1=beta_1,
        tau=tau,
    )


SPEC = Spec(
    name="yogi",
    kind="optimizer",
    apply=yogi,
    min_clients=lambda _byzantine: 1,
    complexity="O(d)",
    reference="Reddi et al., ICLR 2021",
)
