"""The patch backdoor (BadNets): images with a small square in them are of the target class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import (
    Level,
    check_class,
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
class PatchBackdoor:
    """Stamp a bright square on some images and label them as the target.

    The attacker knows its own data.

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
        How many of the member's images are stamped, whatever their class; above 0, at most 1.

    Example
    -------
    >>> image = np.zeros((1, 1, 4, 4), np.float32)
    >>> PatchBackdoor(size=2, value=1.0).trigger(image)[0, 0]
    array([[0., 0., 0., 0.],
           [0., 0., 0., 0.],
           [0., 0., 1., 1.],
           [0., 0., 1., 1.]], dtype=float32)

    References
    ----------
    Gu et al. 2017, *BadNets* (arXiv:1708.06733): a pattern backdoor, all classes to one.

    """

    target: int = 0
    size: int = 3
    row: int = -1
    column: int = -1
    value: Level = "white"
    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a share out of range."""
        check_share("patch_backdoor", self.share)

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with some images stamped and relabeled."""
        del member, members  # each stamps the same patch
        check_class("patch_backdoor", "target", self.target, dataset.classes)
        where = chosen(np.arange(len(dataset)), self.share, rng)
        stamped = self.trigger(dataset.features)[where]
        return replaced(dataset, where, features=stamped, labels=self.target)

    def trigger(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return copies of the images, ``(samples, channels, height, width)``, stamped."""
        pixels = square("patch_backdoor", features.shape, self.size, self.row, self.column)
        return stamp(features, pixels, level_of(features, self.value))


SPEC = AttackSpec(
    name="patch_backdoor",
    kind="data",
    apply=PatchBackdoor,
    knows="own data",
    reference="Gu et al. 2017, arXiv:1708.06733 (BadNets)",
)
