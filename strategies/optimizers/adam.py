"""Adam at the server (Reddi et al. 2021), and what its relatives share with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quickthorn.strategies.errors import ConfigurationError, UpdateError
from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.optimizers.sgd import check_rate
from quickthorn.strategies.registry import Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array


def adam(  # noqa: PLR0913 - the paper's parameters
    vector: Array,
    *,
    state: Mapping[str, Any] | None,
    learning_rate: float = 0.1,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
) -> tuple[Array, dict[str, Any]]:
    """Move each weight at a rate of its own: the mean aggregate over its root mean square.

        m ← β₁ m + (1 − β₁) Δ,   v ← β₂ v + (1 − β₂) Δ²,   w ← w + η m / (√v + τ)

    As in the paper there is no correction of bias; m begins at 0 and v at τ². A weight whose
    aggregate is small moves nearly as far as the others: a defense bounds Δ, and η what becomes
    of it.

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
    >>> step, state = adam(np.array([1.0, 0.01]), state=None)
    >>> step.round(4), state["first"].round(4)
    (array([0.099 , 0.0415]), array([0.1  , 0.001]))

    References
    ----------
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2 (FedAdam).

    """
    check_adaptive("adam", learning_rate, beta_1, beta_2, tau)
    return adapt(
        vector,
        state,
        lambda second, squares: beta_2 * second + (1.0 - beta_2) * squares,
        learning_rate=learning_rate,
        beta_1=beta_1,
        tau=tau,
    )


def adapt(  # noqa: PLR0913 - the parameters that the rules share
    vector: Array,
    state: Mapping[str, Any] | None,
    second_moment: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    *,
    learning_rate: float,
    beta_1: float,
    tau: float,
) -> tuple[Array, dict[str, Any]]:
    """Return the step η m / (√v + τ) and the state, block by block, with little memory beside.

    Parameters
    ----------
    vector, state, learning_rate, beta_1, tau
        As in ``adam``.
    second_moment
        (v, Δ²) to the new v, element by element.

    """
    peak = max(float(vector.max()), -float(vector.min()))
    if not math.isfinite(peak * peak):
        msg = (
            f"the aggregate reaches {peak:.3g}, whose square is beyond float64; "
            "an adaptive optimizer cannot use it. Clip the updates first."
        )
        raise UpdateError(msg)
    first = recall(state, "first", vector, first=0.0)
    second = recall(state, "second", vector, first=tau**2)
    step = np.empty_like(vector)
    for block in column_blocks(1, len(vector)):
        delta = vector[block].astype(np.float64)
        first[block] = beta_1 * first[block] + (1.0 - beta_1) * delta
        second[block] = second_moment(second[block], delta**2)
        step[block] = learning_rate * first[block] / (np.sqrt(second[block]) + tau)
    return step, {"first": first, "second": second}


def recall(
    state: Mapping[str, Any] | None, name: str, vector: Array, *, first: float
) -> NDArray[np.float64]:
    """Return a copy of what ``state`` holds under ``name``; ``first`` everywhere without one."""
    if state is None:
        return np.full(vector.shape, first, np.float64)
    kept: NDArray[np.float64] = np.array(state[name], np.float64)
    if kept.shape != vector.shape:
        msg = (
            f"the optimizer's state {name!r} is of shape {kept.shape}, the aggregate of shape "
            f"{vector.shape}; pass the state of the same model, or None to begin anew."
        )
        raise UpdateError(msg)
    return kept


def check_adaptive(
    optimizer: str, learning_rate: float, beta_1: float, beta_2: float, tau: float
) -> None:
    """Raise a ``ConfigurationError`` unless each parameter is in its range."""
    check_rate(optimizer, learning_rate)
    check_decay(optimizer, beta_1=beta_1, beta_2=beta_2)
    if tau <= 0:
        msg = f"tau of {optimizer} must be above 0; got {tau}."
        raise ConfigurationError(msg)


def check_decay(optimizer: str, **betas: float) -> None:
    """Raise a ``ConfigurationError`` unless each of ``betas`` is from 0 to below 1."""
    for name, value in betas.items():
        if not 0 <= value < 1:
            msg = f"{name} of {optimizer} must be from 0 to below 1; got {value}."
            raise ConfigurationError(msg)


SPEC = Spec(
    name="adam",
    kind="optimizer",
    apply=adam,
    min_clients=lambda _byzantine: 1,
    complexity="O(d)",
    reference="Reddi et al., ICLR 2021",
)
