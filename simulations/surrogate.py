"""A model that an attacker trains on its own data, to craft samples against it.

The attacks that need one share it here, and torch with it.
"""

from __future__ import annotations

import math
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
    model: torch.nn.Module, dataset: Dataset, *, radius: float, steps: int
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
    radius
        How far each value may move (the maximum norm).
    steps
        How many steps to take.

    Returns
    -------
    NDArray
        The perturbed samples, within ``radius`` of the originals and within the least and the
        greatest of their values.

    Notes
    -----
    Source: Madry et al. 2018, *Towards Deep Learning Models Resistant to Adversarial Attacks*,
    ICLR (arXiv:1706.06083), section 2.1.

    """
    start, labels = torch.tensor(dataset.features), torch.from_numpy(dataset.labels)
    low, high = start.min(), start.max()
    least, greatest = (start - radius).clamp(low, high), (start + radius).clamp(low, high)
    current = start
    for _ in range(steps):
        current = current.detach().requires_grad_()
        loss = cross_entropy(model(current), labels)
        (slope,) = torch.autograd.grad(loss, current)
        moved = current.detach() + 2.5 * radius / steps * slope.sign()
        current = torch.minimum(torch.maximum(moved, least), greatest)
    result: NDArray[np.float32] = current.detach().numpy()
    return result


def match_gradient(  # noqa: PLR0913 - the budget reads best one by one
    model: torch.nn.Module,
    dataset: Dataset,
    wanted: Dataset,
    *,
    radius: float,
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
    radius
        How far each value may move (the maximum norm).
    steps, restarts
        Of the descent, and how often it starts anew.
    rng
        Of the starts.

    Returns
    -------
    tuple
        The perturbed samples with the lowest loss found, within ``radius`` of the originals
        and within the least and the greatest of their values; and, for each restart, that loss,
        with the loss of the samples as they were in front.

    Notes
    -----
    Source: Geiping et al. 2021 (arXiv:2009.02276), algorithm 1 and equation 3.

    """
    start, labels = torch.tensor(dataset.features), torch.from_numpy(dataset.labels)
    low, high = start.min(), start.max()
    goal = _slope(model, torch.tensor(wanted.features), torch.from_numpy(wanted.labels)).detach()

    def mismatch(samples: torch.Tensor) -> torch.Tensor:
        return 1 - cosine_similarity(_slope(model, samples, labels), goal, dim=0)

    best, losses = start, [float(mismatch(start).detach())]
    lowest = losses[0]
    for _ in range(restarts):
        shift = torch.from_numpy(rng.uniform(-radius, radius, start.shape).astype(np.float32))
        descent = torch.optim.Adam([shift.requires_grad_()], lr=radius / 10)
        losses.append(math.inf)
        for _ in range(steps):
            samples = (start + shift).clamp(low, high)
            loss = mismatch(samples)
            losses[-1] = min(losses[-1], loss.item())
            if loss.item() < lowest:
                best, lowest = samples.detach(), loss.item()
            shift.grad = torch.autograd.grad(loss, shift)[0].sign()
            descent.step()
            with torch.no_grad():
                shift.clamp_(-radius, radius)
    return best.numpy(), losses


def _slope(model: torch.nn.Module, samples: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the mean loss over all parameters, itself differentiable."""
    loss = cross_entropy(model(samples), labels)
    parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return torch.cat([part.flatten() for part in parts])
