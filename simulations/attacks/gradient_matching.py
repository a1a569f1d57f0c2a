"""Gradient matching: rightly labeled samples that teach a model to misread one other sample."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import (
    check_class,
    check_counts,
    check_share,
    chosen,
    replaced,
)
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from quickthorn.client.datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class GradientMatching:
    """Perturb samples of the target class so that they pull a chosen test sample into it.

    The perturbed samples keep their labels. They are made so that their gradient, on a network
    that the attacker trains on its own data, points where that of the chosen sample would
    point if it were labeled as the target. The attacker knows its own data and the one sample
    that it wants misread.

    Parameters
    ----------
    source, target
        The true class of the chosen sample, and the class that it shall be read as.
    victim
        Which test sample of the class ``source``, in the order of the test set, from 0.
    share
        How many of the member's samples of the target class are perturbed; above 0, at most 1.
    epsilon
        How far a value may move, as a share of the range of the values; of its column, where
        the data are a table.
    steps, restarts
        Of the descent on 1 - cos(gradient of the samples, gradient of the chosen one), and how
        often it starts anew; the best end is taken.
    epochs
        Of the training of the surrogate.

    Example
    -------
    >>> from quickthorn.client.datasets import load_dataset
    >>> train, test = load_dataset("breast_cancer")
    >>> attack = GradientMatching(source=0, target=1, victim=2, steps=5, restarts=1).aim(test)
    >>> attack.probe(test).labels.tolist()
    [0]
    >>> poisoned = attack.poison(train, member=0, members=1, rng=np.random.default_rng(0))
    >>> bool((poisoned.labels == train.labels).all())
    True

    Notes
    -----
    Success is 0 or 1: whether the one sample is read as the target. A few members seldom get
    there unless they boost what they learned, as in ``gradient_matching(share=1, epsilon=0.2)
    | model_replacement``. A member without a sample of the target class trains on its data as
    they are.

    References
    ----------
    Geiping et al. 2021, *Witches' Brew: Industrial Scale Data Poisoning via Gradient
    Matching*, ICLR (arXiv:2009.02276), algorithm 1, with 8 restarts of 250 steps; without its
    differentiable augmentation, since training here augments nothing.

    """

    source: int = 7
    target: int = 1
    victim: int = 0
    share: float = 0.5
    epsilon: float = 0.1
    steps: int = 100
    restarts: int = 2
    epochs: int = 10

    def __post_init__(self) -> None:
        """Refuse shares and counts out of range."""
        check_share("gradient_matching", self.share)
        check_share("gradient_matching", self.epsilon, name="epsilon")
        check_counts(
            "gradient_matching", steps=self.steps, restarts=self.restarts, epochs=self.epochs
        )
        if self.source == self.target:
            msg = f"gradient_matching needs two classes; source and target are both {self.source}."
            raise ConfigurationError(msg)

    def aim(self, test: Dataset) -> AimedMatching:
        """Return the attack on its sample of the test set.

        Raises
        ------
        ConfigurationError
            If the test set has no such class or not so many samples of it.

        """
        check_class("gradient_matching", "source", self.source, test.classes)
        check_class("gradient_matching", "target", self.target, test.classes)
        candidates = np.flatnonzero(test.labels == self.source)
        if not 0 <= self.victim < len(candidates):
            msg = (
                f"victim of gradient_matching must be 0 to {len(candidates) - 1}, a test sample "
                f"of class {self.source}; got {self.victim}."
            )
            raise ConfigurationError(msg)
        return AimedMatching(self, test.take(candidates[[self.victim]]))


@dataclass(frozen=True)
class AimedMatching:
    """Gradient matching that knows its sample; ``GradientMatching.aim`` makes it.

    Attributes
    ----------
    settings
        The parameters.
    sample
        The chosen sample with its true label, as a data set of one.

    """

    settings: GradientMatching
    sample: Dataset

    @property
    def target(self) -> int:
        """Return the class that the sample shall be read as."""
        return self.settings.target

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with some samples of the target class perturbed."""
        # Torch takes a second, and a list of the attacks needs none.
        from quickthorn.simulations.surrogate import (  # noqa: PLC0415 - above
            Budget,
            match_gradient,
            train_surrogate,
        )

        del member, members  # each has its own surrogate
        candidates = np.flatnonzero(dataset.labels == self.target)
        if not len(candidates):
            return dataset
        where = chosen(candidates, self.settings.share, rng)
        surrogate = train_surrogate(dataset, rng, epochs=self.settings.epochs)
        wanted = dataclasses.replace(self.sample, labels=np.array([self.target]))
        perturbed, _ = match_gradient(
            surrogate,
            dataset.take(where),
            wanted,
            Budget.of(dataset.features, self.settings.epsilon),
            steps=self.settings.steps,
            restarts=self.settings.restarts,
            rng=rng,
        )
        return replaced(dataset, where, features=perturbed)

    def probe(self, test: Dataset) -> Dataset:
        """Return the chosen sample with its true label."""
        del test  # the sample was taken from it
        return self.sample


SPEC = AttackSpec(
    name="gradient_matching",
    kind="data",
    apply=GradientMatching,
    knows="own data",
    reference="Geiping et al. 2021, ICLR, arXiv:2009.02276, algorithm 1",
    slow=True,
)
