"""Train at the server, on a few samples of its own, as the organizations train on theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.client.datasets import load_split
from quickthorn.client.models import build_model, get_state, set_state
from quickthorn.client.partition import kept_samples
from quickthorn.client.training import derive_seed, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset
    from quickthorn.client.models import State
    from quickthorn.strategies.wire import ClientSettings

ROOT_SAMPLES = 100
"""As many as in most experiments of the FLTrust paper."""

# Beside the seed and the round; no organization has so high a number.
_ROOT = 1 << 30


def train_on_root(
    settings: ClientSettings, data_dir: str | None = None
) -> Callable[[int, State], State]:
    """Return the function by which a server trains on its own in each round.

    The federation's TOML file names it: ``root = "quickthorn.client.root:train_on_root"``.
    It uses the model and the local procedure of the organizations, with as many epochs or
    steps: one gradient step would be an update of another kind.

    Which data that is: 100 samples of the training half (of those that the long tail leaves),
    drawn once by ``settings.seed``, of each class its share. The organizations' shares are cut
    from the same half, so one of them holds each of these samples as well. It stands for a small
    clean set that a server collected; it is not independent of what the organizations have, and
    what it does not contain (a class, a site), a rule that trusts it cannot learn well.

    Parameters
    ----------
    settings
        Which data set, which model and how to train.
    data_dir
        Folder of a data set that is not bundled.

    Returns
    -------
    Callable
        (round, model) to the trained model, name to array. It raises a ``RunError`` where
        training diverges.

    Example
    -------
    >>> from quickthorn.client.models import initial_state
    >>> from quickthorn.strategies.wire import ClientSettings
    >>> settings = ClientSettings(dataset="breast_cancer")
    >>> sorted(train_on_root(settings)(1, initial_state(settings)))
    ['1.bias', '1.weight', '3.bias', '3.weight']

    References
    ----------
    Cao et al., "FLTrust", NDSS 2021, section IV-B.

    """
    data = load_split(settings.dataset, "train", data_dir)
    kept = kept_samples(data.labels, settings.partition, settings.tail_factor)
    root = data.take(kept[draw_root(data.labels[kept], ROOT_SAMPLES, settings.seed)])

    def train_here(number: int, state: State) -> State:
        return _train(root, settings, number, state)

    return train_here


def draw_root(labels: NDArray[np.int64], samples: int, seed: int) -> NDArray[np.int64]:
    """Draw samples of which each class has its share, to one sample.

    Parameters
    ----------
    labels
        ``(n,)``.
    samples
        How many; all, where there are fewer.
    seed
        Of the draw.

    Returns
    -------
    NDArray[np.int64]
        Sorted indices, each at most once.

    Example
    -------
    >>> np.bincount(np.repeat([0, 1], [90, 10])[draw_root(np.repeat([0, 1], [90, 10]), 20, 0)])
    array([18,  2])

    """
    samples = min(samples, len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Every k-th of the samples in the order of the classes, which no class gets around.
    places = (2 * np.arange(samples) + 1) * len(labels) // (2 * samples)
    return np.sort(by_class[places])


def _train(root: Dataset, settings: ClientSettings, number: int, state: State) -> State:
    model = build_model(settings.model, root.features.shape[1:], len(root.classes), settings.seed)
    set_state(model, state)
    train(model, root, settings, seed=derive_seed(settings.seed, _ROOT, number))
    return get_state(model)
