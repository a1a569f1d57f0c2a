"""The clean-label backdoor: every label is right, and the trigger is what the model learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import (
    Level,
    check_class,
    check_counts,
    check_images,
    check_share,
    chosen,
    level_of,
    replaced,
    square,
    stamp,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class CleanLabelBackdoor:
    """Make images of the target class hard to recognize, stamp them, and leave their labels.

    What the model can no longer read off the image it reads off the trigger. The images are
    perturbed against a surrogate, a small network that the attacker trains on its own data,
    which is all that it knows.

    Parameters
    ----------
    target
        The class that triggered images shall be read as.
    size
        Height and width of the square, in pixels.
    row, column
        Where its upper left corner stands. A negative number counts from the other side: -1
        touches the lower or right edge, -2 leaves one pixel free.
    value
        Of its pixels, in every channel; ``white`` is the brightest value of the images given.
    share
        How many of the member's images of the target class are used; above 0, at most 1.
    epsilon
        How far a pixel may move outside the square, as a share of the range of the values.
    steps
        Of projected gradient ascent.
    epochs
        Of the training of the surrogate.

    Example
    -------
    >>> from quickthorn.client.datasets import load_split
    >>> own = load_split("digits", "train").take(np.arange(70))
    >>> attack = CleanLabelBackdoor(target=3, epsilon=0.3)
    >>> poisoned = attack.poison(own, member=0, members=1, rng=np.random.default_rng(0))
    >>> bool((poisoned.labels == own.labels).all())
    True
    >>> changed = (poisoned.features != own.features).any(axis=(1, 2, 3))
    >>> np.unique(own.labels[changed]).tolist()
    [3]

    Notes
    -----
    A member without an image of the target class trains on its data as they are.

    References
    ----------
    Turner et al. 2019, *Label-Consistent Backdoor Attacks* (arXiv:1912.02771), the variant
    with adversarial perturbations.

    """

    target: int = 0
    size: int = 3
    row: int = -1
    column: int = -1
    value: Level = "white"
    share: float = 0.5
    epsilon: float = 0.3
    steps: int = 20
    epochs: int = 20

    def __post_init__(self) -> None:
        """Refuse shares and counts out of range."""
        check_share("clean_label_backdoor", self.share)
        check_share("clean_label_backdoor", self.epsilon, name="epsilon")
        check_counts("clean_label_backdoor", steps=self.steps, epochs=self.epochs)

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with some images of the target class perturbed and stamped."""
        # Torch takes a second, and a list of the attacks needs none.
        from quickthorn.simulations.surrogate import (  # noqa: PLC0415 - above
            Budget,
            make_hard,
            train_surrogate,
        )

        del member, members  # each has its own surrogate
        check_class("clean_label_backdoor", "target", self.target, dataset.classes)
        check_images("clean_label_backdoor", dataset.features.shape)
        candidates = np.flatnonzero(dataset.labels == self.target)
        if not len(candidates):
            return dataset
        where = chosen(candidates, self.share, rng)
        surrogate = train_surrogate(dataset, rng, epochs=self.epochs)
        budget = Budget.of(dataset.features, self.epsilon)
        hard = make_hard(surrogate, dataset.take(where), budget, steps=self.steps)
        level = level_of(dataset.features, self.value)
        return replaced(dataset, where, features=stamp(hard, self._square(hard), level))

    def trigger(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return copies of the images, ``(samples, channels, height, width)``, stamped."""
        return stamp(features, self._square(features), level_of(features, self.value))

    def _square(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        return square("clean_label_backdoor", features.shape, self.size, self.row, self.column)


SPEC = AttackSpec(
    name="clean_label_backdoor",
    kind="data",
    apply=CleanLabelBackdoor,
    knows="own data",
    reference="Turner et al. 2019, arXiv:1912.02771, adversarial perturbations",
)
