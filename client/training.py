"""Train a model on an organization's share, and evaluate it there."""

from __future__ import annotations

import itertools
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from quickthorn.client.optimizers import build_optimizer
from quickthorn.strategies.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.optimizers import Optimizer
    from quickthorn.strategies.wire import ClientSettings

_EVALUATION_BATCH = 1024


@dataclass(frozen=True)
class TrainingResult:
    """What a training did.

    Attributes
    ----------
    loss
        Mean cross-entropy, in nats, of the samples as they were seen.
    samples
        Samples in the data set.
    steps
        Optimizer steps that were made.

    """

    loss: float
    samples: int
    steps: int


@dataclass(frozen=True)
class Evaluation:
    """How well a model classifies a data set.

    Attributes
    ----------
    accuracy
        Share of the samples that are classified right, 0 to 1.
    recall
        The same within each class; None for a class that has no sample here.
    samples
        Samples in the data set.
    loss
        Cross entropy, mean over the samples, in nats.

    """

    accuracy: float
    recall: tuple[float | None, ...]
    samples: int
    loss: float


def derive_seed(*parts: int) -> int:
    """Mix non-negative integers (seed, organization, round) into one 64-bit seed.

    Example
    -------
    >>> derive_seed(0, 1, 2) != derive_seed(0, 2, 1)
    True

    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0])


class Pace(Protocol):
    """How much is trained: ``ClientSettings``, and whatever else has these."""

    @property
    def local_epochs(self) -> int:
        """Return the passes over the samples."""

    @property
    def local_steps(self) -> int:
        """Return the optimizer steps; where above 0, they count instead."""

    @property
    def batch_size(self) -> int:
        """Return the samples per step."""


def train(
    model: torch.nn.Module, dataset: Dataset, settings: ClientSettings, *, seed: int
) -> TrainingResult:
    """Train ``model`` in place.

    Parameters
    ----------
    model
        Maps ``(samples, *sample_shape)`` float32 to ``(samples, classes)`` logits.
    dataset
        The samples; they are read batch by batch, never copied as a whole.
    settings
        Epochs or steps, batch size and optimizer. The last batch of an epoch may be smaller.
    seed
        Of the order of the samples (each epoch is shuffled anew) and of dropout, for which
        torch's global generator is borrowed. With one thread on one machine the same
        arguments give the same bits.

    Raises
    ------
    RunError
        If the loss is no longer finite.
    ConfigurationError
        If the optimizer is unknown.

    Example
    -------
    >>> from quickthorn.client.datasets import load_split
    >>> from quickthorn.client.models import build_model
    >>> from quickthorn.strategies.wire import ClientSettings
    >>> model = build_model("mlp", (30,), 2, seed=0)
    >>> train(model, load_split("breast_cancer", "train"), ClientSettings(), seed=0).steps
    15

    """
    optimizer = build_optimizer(model.parameters(), settings)
    return fit(model, dataset, settings, optimizer=optimizer, seed=seed)


def fit(  # noqa: PLR0913 - keyword-only beyond what is trained, on what, and how much
    model: torch.nn.Module,
    dataset: Dataset,
    pace: Pace,
    *,
    optimizer: Optimizer,
    seed: int,
    share: NDArray[np.int64] | None = None,
) -> TrainingResult:
    """Train ``model`` in place with an optimizer that the caller keeps.

    Parameters
    ----------
    model, dataset, seed
        As for ``train``.
    pace
        Epochs or steps, and batch size.
    optimizer
        Of the model's parameters.
    share
        (samples,) the indices of the samples to train on; all by default.

    Raises
    ------
    RunError
        If the loss is no longer finite.

    """
    samples = len(dataset) if share is None else len(share)
    per_epoch = math.ceil(samples / pace.batch_size)
    steps = pace.local_steps or pace.local_epochs * per_epoch
    generator = torch.Generator().manual_seed(seed)
    model.train()
    total, seen = 0.0, 0
    with _dropout_seeded(seed):
        for drawn in itertools.islice(batches(samples, pace.batch_size, generator), steps):
            batch = drawn if share is None else share[drawn]
            loss = cross_entropy(
                model(torch.from_numpy(dataset.features[batch])),
                torch.from_numpy(dataset.labels[batch]),
            )
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item() * len(batch)
            seen += len(batch)
    if not math.isfinite(total):
        msg = f"the loss is {total} after {steps} steps: training diverged. Lower learning_rate."
        raise RunError(msg)
    return TrainingResult(loss=total / seen, samples=samples, steps=steps)


def evaluate(model: torch.nn.Module, dataset: Dataset) -> Evaluation:
    """Classify each sample and count; what the model answers with NaN is of no class.

    Example
    -------
    >>> from quickthorn.client.datasets import load_split
    >>> from quickthorn.client.models import build_model
    >>> test = load_split("breast_cancer", "test")
    >>> evaluate(build_model("mlp", (30,), 2, seed=0), test).samples
    115

    """
    model.eval()
    right, loss = np.zeros(len(dataset), dtype=np.bool_), 0.0
    with torch.no_grad():
        for start in range(0, len(dataset), _EVALUATION_BATCH):
            part = slice(start, start + _EVALUATION_BATCH)
            logits = model(torch.tensor(dataset.features[part]))
            labels = torch.from_numpy(dataset.labels[part])
            loss += float(cross_entropy(logits, labels, reduction="sum"))
            # Where there is NaN, ``argmax`` takes it for the largest.
            known = ~logits.isnan().any(dim=1)
            right[part] = ((logits.argmax(dim=1) == labels) & known).numpy()
    members = [dataset.labels == label for label in range(len(dataset.classes))]
    recall = tuple(float(right[mask].mean()) if mask.any() else None for mask in members)
    return Evaluation(float(right.mean()), recall, len(dataset), loss / len(dataset))


@contextmanager
def _dropout_seeded(seed: int) -> Iterator[None]:
    """Let torch's global generator, from which dropout draws, start at ``seed`` meanwhile.

    The masks come from the numbers that shuffle the samples, too: torch takes 32 bits of a seed.
    """
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


def batches(samples: int, batch_size: int, generator: torch.Generator) -> Iterator[NDArray[Any]]:
    """Yield index arrays for ever, reshuffling after each pass over the samples."""
    while True:
        order = torch.randperm(samples, generator=generator).numpy()
        for start in range(0, samples, batch_size):
            yield order[start : start + batch_size]
