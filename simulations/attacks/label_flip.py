"""Label flipping: learn what is wrong, with honest arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import check_class, check_share, chosen, replaced
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset


def label_flip(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Replace each label y by classes - 1 - y.

    Parameters
    ----------
    labels
        ``(samples,)``, each from 0 to ``classes - 1``.
    classes
        How many classes there are.

    Returns
    -------
    NDArray
        ``(samples,)``, a new array. Flipping twice gives the labels back. The middle class of
        an odd number of classes stays as it is.

    Raises
    ------
    ConfigurationError
        If a label lies outside its range.

    Example
    -------
    >>> label_flip(np.array([0, 1, 1]), 2)
    array([1, 0, 0])

    Notes
    -----
    Source: Fang et al. 2020, *Local Model Poisoning Attacks to Byzantine-Robust Federated
    Learning*, USENIX Security (arXiv:1911.11815).

    """
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        msg = f"label_flip needs labels 0 to {classes - 1}; got {labels.min()} to {labels.max()}."
        raise ConfigurationError(msg)
    return classes - 1 - labels


@dataclass(frozen=True, kw_only=True)
class LabelFlip:
    """Train on wrong labels: all mirrored, one class as another, or at random.

    The attacker knows its own data. A flip of one class hardly moves the accuracy; look at
    the recall of the class.

    Parameters
    ----------
    mode
        ``all``: y becomes classes - 1 - y. ``pair``: ``source`` becomes ``target``, other
        classes stay; with a ``share`` below 1 this is the one-sided flip, say of four in ten
        malignant samples to benign. ``random``: any other class, each as likely.
    source, target
        For ``pair``, both and different.
    share
        How many of the samples that the mode can flip are flipped; above 0, at most 1.

    Example
    -------
    >>> from quickthorn.client.datasets import Dataset
    >>> own = Dataset(np.zeros((4, 1), np.float32), np.array([0, 0, 1, 2]), ("a", "b", "c"))
    >>> def flipped(**parameters):
    ...     rng = np.random.default_rng(0)
    ...     return LabelFlip(**parameters).poison(own, member=0, members=1, rng=rng).labels.tolist()
    >>> flipped(), flipped(mode="pair", source=0, target=2)
    ([2, 2, 1, 0], [2, 2, 1, 2])
    >>> any(new == old for new, old in zip(flipped(mode="random"), own.labels, strict=True))
    False

    References
    ----------
    All: Fang et al. 2020 (arXiv:1911.11815). Pairs: Tolpegin et al. 2020, *Data Poisoning
    Attacks Against Federated Learning Systems* (arXiv:2007.08432).

    """

    mode: Literal["all", "pair", "random"] = "all"
    source: int | None = None
    target: int | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a share out of range and classes that do not go with the mode."""
        check_share("label_flip", self.share)
        given = (self.source, self.target)
        if self.mode == "pair" and (None in given or self.source == self.target):
            msg = (
                "label_flip(mode=pair) needs two different classes, source and target; "
                f"got source={self.source}, target={self.target}."
            )
            raise ConfigurationError(msg)
        if self.mode != "pair" and given != (None, None):
            msg = f"source and target of label_flip need mode=pair; got mode={self.mode}."
            raise ConfigurationError(msg)

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with other labels; as it is where there is nothing to flip."""
        del member, members  # each flips in the same way
        candidates = np.arange(len(dataset))
        if self.source is not None and self.target is not None:
            check_class("label_flip", "source", self.source, dataset.classes)
            check_class("label_flip", "target", self.target, dataset.classes)
            candidates = np.flatnonzero(dataset.labels == self.source)
            if not len(candidates):
                return dataset
        where = chosen(candidates, self.share, rng)
        labels = self._flip(dataset.labels[where], len(dataset.classes), rng)
        return replaced(dataset, where, labels=labels)

    def _flip(
        self, labels: NDArray[np.int64], classes: int, rng: np.random.Generator
    ) -> NDArray[np.int64] | int:
        if self.target is not None:
            return self.target
        if self.mode == "random":
            return (labels + rng.integers(1, classes, len(labels))) % classes
        return label_flip(labels, classes)


SPEC = AttackSpec(
    name="label_flip",
    kind="data",
    apply=LabelFlip,
    knows="own data",
    reference="Fang et al. 2020, arXiv:1911.11815; Tolpegin et al. 2020, arXiv:2007.08432 (pairs)",
)
