"""SGD and Adam by torch's own functional forms.

A ``torch.optim.Optimizer`` object imports ``torch._dynamo`` on its first step: 2 seconds and
800 modules. In a deployment each round runs in a fresh process, where that is more than the
whole training. The functions below are what those objects call (a test compares the bits).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from quickthorn.strategies.wire import ClientSettings


class Optimizer(Protocol):
    """Changes parameters in place by their gradients."""

    def step(self) -> None:
        """Apply the gradients that the parameters hold, then clear them."""


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter], settings: ClientSettings
) -> Optimizer:
    """Return the optimizer of the settings for those parameters that need a gradient.

    Raises
    ------
    ConfigurationError
        If ``momentum`` is set for Adam, which has its own.

    """
    trained: list[torch.Tensor] = [parameter for parameter in parameters if parameter.requires_grad]
    if settings.optimizer == "sgd":
        return Sgd(
            trained,
            learning_rate=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
    if settings.momentum:
        msg = (
            f"momentum in [client] belongs to sgd; got momentum={settings.momentum} with adam. "
            "Remove it or set optimizer to sgd."
        )
        raise ConfigurationError(msg)
    return Adam(trained, settings)


class Sgd:
    """Stochastic gradient descent with heavy-ball momentum and L2 weight decay.

    Parameters
    ----------
    parameters
        They are changed in place.
    learning_rate, momentum, weight_decay
        The velocity is v ← momentum · v + (1 − dampening) · gradient.
    dampening
        0 for the usual momentum.
    velocities
        One tensor per parameter, changed in place, for a momentum that outlives the
        optimizer; without them the first step takes the whole gradient, as torch's does.

    """

    def __init__(  # noqa: PLR0913 - the parameters of SGD
        self,
        parameters: list[torch.Tensor],
        *,
        learning_rate: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        velocities: Sequence[torch.Tensor] | None = None,
    ) -> None:
        """Keep what a step needs."""
        self._parameters = parameters
        self._velocities: list[torch.Tensor | None] = [None] * len(parameters)
        if velocities is not None:
            self._velocities[:] = velocities
        self._update = partial(
            sgd,
            foreach=False,
            fused=False,
            weight_decay=weight_decay,
            momentum=momentum,
            lr=learning_rate,
            dampening=dampening,
            nesterov=False,
            maximize=False,
        )

    @torch.no_grad()
    def step(self) -> None:
        """Apply the gradients, then clear them."""
        self._update(self._parameters, _take_gradients(self._parameters), self._velocities)


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) with its usual constants and L2 weight decay."""

    def __init__(self, parameters: list[torch.Tensor], settings: ClientSettings) -> None:
        """Start with zero moments."""
        self._parameters = parameters
        self._first = [torch.zeros_like(parameter) for parameter in parameters]
        self._second = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = [torch.tensor(0.0) for _ in parameters]
        self._update = partial(
            adam,
            foreach=False,
            fused=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    @torch.no_grad()
    def step(self) -> None:
        """Apply the gradients, then clear them."""
        self._update(
            self._parameters,
            _take_gradients(self._parameters),
            self._first,
            self._second,
            [],
            self._steps,
        )


def _take_gradients(parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the gradients and clear them; a parameter that took no part has zero."""
    gradients = []
    for parameter in parameters:
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients.append(gradient)
        parameter.grad = None
    return gradients
