"""The server optimizers over a whole run: every round's step from all aggregates so far."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.naive.kernels import Rows


def sgd(rounds: Rows, *, learning_rate: float = 1.0) -> Rows:
    """Multiply by the rate."""
    return [[learning_rate * x for x in aggregate] for aggregate in rounds]


def momentum(rounds: Rows, *, learning_rate: float = 1.0, beta: float = 0.9) -> Rows:
    """Add up β^age · aggregate."""
    steps = []
    for last in range(len(rounds)):
        ages = [(last - t, rounds[t]) for t in range(last + 1)]
        steps.append(
            [
                learning_rate * sum(beta**age * aggregate[k] for age, aggregate in ages)
                for k in range(len(rounds[0]))
            ]
        )
    return steps


def adam(
    rounds: Rows,
    *,
    learning_rate: float = 0.1,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
) -> Rows:
    """Follow each weight on its own by the recursions of FedAdam."""
    steps = [[0.0] * len(rounds[0]) for _ in rounds]
    for k in range(len(rounds[0])):
        m, v = 0.0, tau * tau
        for t, aggregate in enumerate(rounds):
            m = beta_1 * m + (1 - beta_1) * aggregate[k]
            v = beta_2 * v + (1 - beta_2) * aggregate[k] ** 2
            steps[t][k] = learning_rate * m / (sqrt(v) + tau)
    return steps


def yogi(
    rounds: Rows,
    *,
    learning_rate: float = 0.1,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
) -> Rows:
    """Follow each weight on its own by the recursions of FedYogi."""
    steps = [[0.0] * len(rounds[0]) for _ in rounds]
    for k in range(len(rounds[0])):
        m, v = 0.0, tau * tau
        for t, aggregate in enumerate(rounds):
            square = aggregate[k] ** 2
            m = beta_1 * m + (1 - beta_1) * aggregate[k]
            sign = (v > square) - (v < square)
            v -= (1 - beta_2) * square * sign
            steps[t][k] = learning_rate * m / (sqrt(v) + tau)
    return steps
