"""A model that an attacker trains on its own data, to craft samples against it.

The attacks that need one share it here, and torch with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from quickthorn.client.models import build_model
from quickthorn.client.training import derive_seed, train
from quickthorn.strategies.wire import ClientSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset


_TABLE = 2
"""Dimensions of ``(samples, features)``."""


@dataclass(frozen=True, eq=False)
class Budget:
    """How far samples may be moved, and to which values at most.

    Attributes
    ----------
    radius
        How far each value may move (the maximum norm).
    low, high
        The least and the greatest value that the data hold. All three are one number for
        images and one per column for tables.

    """

    radius: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def of(cls, features: NDArray[np.float32], epsilon: float) -> Budget:
        """Allow the share ``epsilon`` of the range of the data, and no value outside it.

        >>> Budget.of(np.array([[0.0, 0.0], [1.0, 10.0]], np.float32), 0.5).radius
        tensor([0.5000, 5.0000])
        """
        axes = 0 if features.ndim == _TABLE else None
        low, high = features.min(axis=axes), features.max(axis=axes)
        return cls(*map(torch.tensor, (epsilon * (high - low), low, high)))

    def clip(self, moved: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Return the samples that are nearest to ``moved`` and within the budget of ``start``."""
        least = torch.maximum(start - self.radius, self.low)
        greatest = torch.minimum(start + self.radius, self.high)
        return torch.minimum(torch.maximum(moved, least), greatest)


def train_surrogate(dataset: Dataset, rng: np.random.Generator, *, epochs: int) -> torch.nn.Module:
    """Train a small network (``mlp``) on the attacker's own data, from its own seed.

    Example
    -------
    >>> from quickthorn.client.datasets import load_split
    >>> own = load_split("digits", "train").take(np.arange(70))
    >>> model = train_surrogate(own, np.random.default_rng(0), epochs=20)
    >>> from quickthorn.client.training import evaluate
    >>> evaluate(model, own).accuracy
    1.0

    """
    seed = int(rng.integers(2**32))
    model = build_model("mlp", dataset.features.shape[1:], len(dataset.classes), seed)
    settings = ClientSettings(local_epochs=epochs, batch_size=32, learning_rate=0.1, momentum=0.9)
    train(model, dataset, settings, seed=derive_seed(seed, epochs))
    return model.eval()


def make_hard(
    model: torch.nn.Module, dataset: Dataset, budget: Budget, *, steps: int
) -> NDArray[np.float32]:
    """Perturb samples until the model no longer sees their class in them.

    Projected gradient ascent on the loss, by signs, from the samples themselves; a step is
    2.5 * radius / steps.

    Parameters
    ----------
    model
        Maps samples to logits.
    dataset
        The samples with their labels.
    budget
        How far they may move.
    steps
        How many steps to take.

    Returns
    -------
    NDArray
        The perturbed samples.

    Notes
    -----
    Source: Madry et al. 2018, *Towards Deep Learning Models Resistant to Adversarial Attacks*,
    ICLR (arXiv:1706.06083).

    """
    start, labels = torch.tensor(dataset.features), torch.from_numpy(dataset.labels)
    current = start
    for _ in range(steps):
        current = current.detach().requires_grad_()
        loss = cross_entropy(model(current), labels)
        (slope,) = torch.autograd.grad(loss, current)
        moved = current.detach() + 2.5 / steps * budget.radius * slope.sign()
        current = budget.clip(moved, start)
    result: NDArray[np.float32] = current.detach().numpy()
    return result


def match_gradient(  # noqa: PLR0913 - the budget reads best one by one
    model: torch.nn.Module,
    dataset: Dataset,
    wanted: Dataset,
    budget: Budget,
    *,
    steps: int,
    restarts: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], list[float]]:
    """Perturb samples until training on them does what training on ``wanted`` would do.

    Minimizes 1 - cos(∇ loss of the samples, ∇ loss of ``wanted``), the gradients over the
    model's parameters, by Adam on the signs of the slope, from random starts.

    Parameters
    ----------
    model
        Maps samples to logits, differentiably twice.
    dataset
        The samples to perturb, with the labels that they keep.
    wanted
        The samples to imitate, with the labels that the model shall learn for them.
    budget
        How far the samples may move.
    steps, restarts
        Of the descent, and how often it starts anew.
    rng
        Of the starts.

    Returns
    -------
    tuple
        The perturbed samples with the lowest loss found; and the loss of the samples as they
        were, followed by the lowest loss of each restart.

    Notes
    -----
    Source: Geiping et al. 2021 (arXiv:2009.02276), algorithm 1.

    """
    start, labels = torch.tensor(dataset.features), torch.from_numpy(dataset.labels)
    goal = _slope(model, torch.tensor(wanted.features), torch.from_numpy(wanted.labels)).detach()

    def mismatch(samples: torch.Tensor) -> torch.Tensor:
        return 1 - cosine_similarity(_slope(model, samples, labels), goal, dim=0)

    best, losses = start, [float(mismatch(start).detach())]
    lowest = losses[0]
    for _ in range(restarts):
        shift = torch.from_numpy(rng.uniform(-1, 1, start.shape).astype(np.float32))
        descent = torch.optim.Adam([shift.requires_grad_()], lr=0.1)  # in units of the radius
        losses.append(math.inf)
        for _ in range(steps):
            samples = budget.clip(start + budget.radius * shift, start)
            loss = mismatch(samples)
            losses[-1] = min(losses[-1], loss.item())
            if loss.item() < lowest:
                best, lowest = samples.detach(), loss.item()
            shift.grad = torch.autograd.grad(loss, shift)[0].sign()
            descent.step()
            with torch.no_grad():
                shift.clamp_(-1, 1)
    return best.numpy(), losses


def _slope(model: torch.nn.Module, samples: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the mean loss over all parameters, itself differentiable."""
    loss = cross_entropy(model(samples), labels)
    parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return torch.cat([part.flatten() for part in parts])
