"""A training with a proximal term: its loss also counts how far the model moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.client.optimizers import Optimizer


class Proximal:
    """An optimizer of α · L + (1 − α) · ‖w − w₀‖² in place of the loss L.

    L is the mean cross-entropy of a batch, in nats; the distance is Euclidean, over all
    parameters, in the unit of the weights, and squared. Its gradient is added to that of L, so
    that the optimizer is given α ∇L + 2 (1 − α) (w − w₀); its learning rate, momentum and
    weight decay are as they were. With plain SGD a step of rate η multiplies w − w₀ by
    1 − 2 η (1 − α), beside what L does.

    Parameters
    ----------
    optimizer
        Makes the steps.
    parameters
        Those that it changes; their gradients are replaced.
    start
        w₀, a tensor for each of ``parameters``, of its shape or of one that broadcasts to it.
    alpha
        Above 0 and at most 1.

    Example
    -------
    >>> from quickthorn.client.optimizers import Sgd
    >>> weight = torch.tensor([3.0])
    >>> weight.grad = torch.tensor([1.0])
    >>> Proximal(Sgd([weight], learning_rate=0.1), [weight], [torch.tensor([1.0])], 0.5).step()
    >>> weight  # 3 - 0.1 * (0.5 * 1 + 2 * 0.5 * (3 - 1))
    tensor([2.7500])

    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Sequence[torch.Tensor],
        start: Sequence[torch.Tensor],
        alpha: float,
    ) -> None:
        """Keep what a step needs."""
        self._optimizer = optimizer
        self._pairs = list(zip(parameters, start, strict=True))
        self._alpha = alpha

    @torch.no_grad()
    def step(self) -> None:
        """Add the pull to the gradients and let the optimizer apply them."""
        for parameter, origin in self._pairs:
            # One rounding per operation, so that several members at once get the same bits.
            pull = (parameter - origin).mul_(2 * (1 - self._alpha))
            own = parameter.grad
            parameter.grad = pull if own is None else own.mul_(self._alpha).add_(pull)
        self._optimizer.step()
