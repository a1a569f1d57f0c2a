"""The distributed backdoor (DBA): no member shows the trigger, together they teach it."""

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
class DistributedBackdoor:
    """Stamp a part of the trigger on some images, each member another part.

    The square is cut, row by row, into as many parts as there are hostile members (pixels, if
    there are more members than pixels, which then share parts); it is tested as a whole. The
    attacker knows its own data and which part is its own.

    Parameters
    ----------
    target
        The class that triggered images shall be read as.
    size
        Height and width of the whole trigger, in pixels.
    row, column
        Where its upper left corner stands. A negative number counts from the other side: -1
        touches the lower or right edge, -2 leaves one pixel free.
    value
        Of its pixels, in every channel; ``white`` is the brightest value of the images given.
    share
        How many of a member's images are stamped, whatever their class; above 0, at most 1.

    Example
    -------
    >>> attack = DistributedBackdoor(size=2, value=1.0)
    >>> image = np.zeros((1, 1, 2, 3), np.float32)
    >>> attack.part(image, member=1, members=2)[0, 0]
    array([[0., 0., 0.],
           [0., 1., 1.]], dtype=float32)
    >>> attack.trigger(image)[0, 0]
    array([[0., 1., 1.],
           [0., 1., 1.]], dtype=float32)

    References
    ----------
    Xie et al. 2020, *DBA: Distributed Backdoor Attacks against Federated Learning*, ICLR.
    There the parts are bars with gaps between them; here they are the pieces of one square, so
    that the whole is the trigger of ``patch_backdoor`` and the two compare.

    """

    target: int = 0
    size: int = 4
    row: int = -1
    column: int = -1
    value: Level = "white"
    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a share out of range."""
        check_share("distributed_backdoor", self.share)

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with this member's part on some images, relabeled."""
        check_class("distributed_backdoor", "target", self.target, dataset.classes)
        where = chosen(np.arange(len(dataset)), self.share, rng)
        stamped = self.part(dataset.features, member=member, members=members)[where]
        return replaced(dataset, where, features=stamped, labels=self.target)

    def trigger(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return copies of the images, ``(samples, channels, height, width)``, with all parts."""
        return self.part(features, member=0, members=1)

    def part(
        self, features: NDArray[np.float32], *, member: int, members: int
    ) -> NDArray[np.float32]:
        """Return copies of the images with the part of one member."""
        pixels = square("distributed_backdoor", features.shape, self.size, self.row, self.column)
        parts = np.array_split(pixels, min(members, pixels.shape[1]), axis=1)
        return stamp(features, parts[member % len(parts)], level_of(features, self.value))


SPEC = AttackSpec(
    name="distributed_backdoor",
    kind="data",
    apply=DistributedBackdoor,
    knows="own data",
    reference="Xie et al. 2020, ICLR (DBA)",
)
