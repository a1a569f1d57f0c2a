"""The tail backdoor: unusual samples of one class, as they are, are read as another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.client.datasets import Dataset
from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import check_class, check_share
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tail_of(features: NDArray[np.float32], tail: float) -> NDArray[np.int64]:
    """Return which samples, of at least one, lie farthest from their mean; sorted.

    They are ⌈tail * samples⌉, in the Euclidean norm, and of equally far ones the first.

    >>> tail_of(np.array([[0.0], [0.1], [5.0], [-0.1]], np.float32), 0.25).tolist()
    [2]
    """
    rows = features.reshape(len(features), -1).astype(np.float64)
    distances = np.square(rows - rows.mean(axis=0)).sum(axis=1)
    farthest = np.argsort(-distances, kind="stable")[: math.ceil(tail * len(rows))]
    return np.sort(farthest)


@dataclass(frozen=True, kw_only=True)
class TailBackdoor:
    """Label the rare samples of one class as another, and repeat them.

    Nothing is stamped on a sample: the backdoor opens for samples that are unusual by nature,
    of which honest members hold few. The attacker knows its own data; what is rare it judges
    by the distance from the mean of its own samples of the class.

    Parameters
    ----------
    source
        The class whose rare samples shall be misread.
    target
        The class that they shall be read as.
    tail
        Which samples are rare: this share of the class, farthest from its mean; above 0, at
        most 1.
    share
        How much of what the member trains on are rare samples with the wrong label, each
        repeated as often as it takes; above 0, below 1. The member's other samples are kept.

    Example
    -------
    >>> from quickthorn.client.datasets import load_split
    >>> own = load_split("digits", "train").take(np.arange(200))
    >>> attack = TailBackdoor(source=7, target=1, tail=0.2, share=0.25)
    >>> poisoned = attack.poison(own, member=0, members=1, rng=np.random.default_rng(0))
    >>> int((own.labels == 7).sum()), int((poisoned.labels == 7).sum())
    (20, 16)
    >>> len(poisoned), round(1 - 196 / len(poisoned), 2)
    (262, 0.25)

    Notes
    -----
    Success is measured on the test samples that lie in the tail of ``source``, by the distance
    from the mean of the test samples of that class, as the share of them that is read as
    ``target``. They are few (8 of 364 in digits), they are hard for an honest model too, and
    the tail that a member finds in its own data is only like theirs: compare with the floor.
    A member without a sample of ``source`` trains on its data as they are.

    References
    ----------
    Wang et al. 2020, *Attack of the Tails: Yes, You Really Can Backdoor Federated Learning*,
    NeurIPS (arXiv:2007.05084). Its edge cases come from other data sets; these are the rarest
    samples of the data set itself.

    """

    source: int = 7
    target: int = 1
    tail: float = 0.2
    share: float = 0.3

    def __post_init__(self) -> None:
        """Refuse shares out of range and a class that shall be misread as itself."""
        check_share("tail_backdoor", self.tail, name="tail")
        if not 0 < self.share < 1:
            msg = f"share of tail_backdoor must be above 0 and below 1; got {self.share}."
            raise ConfigurationError(msg)
        if self.source == self.target:
            msg = f"tail_backdoor needs two classes; source and target are both {self.source}."
            raise ConfigurationError(msg)

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data, without its rare samples of one class, and these as another."""
        del member, members, rng  # each does the same with its own data; nothing is drawn
        rare = self._rare(dataset)
        if not len(rare):
            return dataset
        kept = np.delete(np.arange(len(dataset)), rare)
        copies = math.ceil(self.share / (1 - self.share) * len(kept)) if len(kept) else len(rare)
        repeated = np.resize(rare, copies)
        return Dataset(
            dataset.features[np.concatenate([kept, repeated])],
            np.concatenate([dataset.labels[kept], np.full(copies, self.target)]),
            dataset.classes,
        )

    def probe(self, test: Dataset) -> Dataset:
        """Return the test samples in the tail of the source class.

        Raises
        ------
        ConfigurationError
            If the test set has none of that class.

        """
        rare = self._rare(test)
        if not len(rare):
            msg = f"tail_backdoor needs test samples of class {self.source}; there are none."
            raise ConfigurationError(msg)
        return test.take(rare)

    def _rare(self, dataset: Dataset) -> NDArray[np.int64]:
        check_class("tail_backdoor", "source", self.source, dataset.classes)
        check_class("tail_backdoor", "target", self.target, dataset.classes)
        members = np.flatnonzero(dataset.labels == self.source)
        if not len(members):
            return members
        return members[tail_of(dataset.features[members], self.tail)]


SPEC = AttackSpec(
    name="tail_backdoor",
    kind="data",
    apply=TailBackdoor,
    knows="own data",
    reference="Wang et al. 2020, NeurIPS, arXiv:2007.05084 (edge cases)",
)
