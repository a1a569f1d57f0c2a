"""The plain step: the model moves by the aggregate, or by a multiple of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.errors import ConfigurationError
from quickthorn.strategies.registry import Spec

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array


def sgd(vector: Array, *, learning_rate: float = 1.0) -> tuple[Array, None]:
    """Move the model by the aggregate, times a rate.

        w ← w + η Δ

    Parameters
    ----------
    vector
        Δ, (d,) the aggregate of the round.
    learning_rate
        η > 0; with 1 the model moves by the aggregate itself, as in FedAvg.

    Returns
    -------
    tuple[Array, None]
        (d,) step of the dtype of ``vector``, and no state.

    Raises
    ------
    ConfigurationError
        If ``learning_rate`` is not positive.

    Example
    -------
    >>> import numpy as np
    >>> sgd(np.array([1.0, -2.0]), learning_rate=0.5)[0]
    array([ 0.5, -1. ])

    References
    ----------
    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 1 with SGD at the
    server.

    """
    check_rate("sgd", learning_rate)
    return vector * learning_rate, None


def check_rate(optimizer: str, learning_rate: float) -> None:
    """Raise a ``ConfigurationError`` unless the rate is positive."""
    if learning_rate <= 0:
        msg = f"learning_rate of {optimizer} must be above 0; got {learning_rate}."
        raise ConfigurationError(msg)


SPEC = Spec(
    name="sgd",
    kind="optimizer",
    apply=sgd,
    min_clients=lambda _byzantine: 1,
    complexity="O(d)",
    reference="Reddi et al., ICLR 2021",
)
