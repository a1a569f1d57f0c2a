"""The blended backdoor: a faint pattern over the whole image, instead of a bright patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quickthorn.simulations.attacks.spec import AttackSpec
from quickthorn.simulations.poisoning import (
    check_class,
    check_images,
    check_share,
    chosen,
    replaced,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.client.datasets import Dataset


@dataclass(frozen=True, kw_only=True)
class BlendedBackdoor:
    """Blend a random pattern into some images and label them as the target.

    (1 - blend) * image + blend * pattern, the pattern uniform between the darkest and the
    brightest value of the images given. The attacker knows its own data.

    Parameters
    ----------
    target
        The class that triggered images shall be read as.
    blend
        How much of the pattern there is; above 0, at most 1.
    pattern
        Seed of the pattern, which all hostile members share.
    share
        How many of the member's images are blended, whatever their class; above 0, at most 1.

    Example
    -------
    >>> images = np.stack([np.zeros((1, 8, 8)), np.ones((1, 8, 8))]).astype(np.float32)
    >>> blended = BlendedBackdoor(blend=0.2).trigger(images)
    >>> bool(blended[0].max() <= 0.2), bool(blended[1].min() >= 0.8)
    (True, True)

    References
    ----------
    Chen et al. 2017, *Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning*
    (arXiv:1712.05526): the blended injection strategy with a random pattern.

    """

    target: int = 0
    blend: float = 0.2
    pattern: int = 0
    share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse shares out of range."""
        check_share("blended_backdoor", self.share)
        check_share("blended_backdoor", self.blend, name="blend")

    def poison(
        self, dataset: Dataset, *, member: int, members: int, rng: np.random.Generator
    ) -> Dataset:
        """Return the data with some images blended and relabeled."""
        del member, members  # each blends in the same pattern
        check_class("blended_backdoor", "target", self.target, dataset.classes)
        where = chosen(np.arange(len(dataset)), self.share, rng)
        blended = self.trigger(dataset.features)[where]
        return replaced(dataset, where, features=blended, labels=self.target)

    def trigger(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return copies of the images, ``(samples, channels, height, width)``, blended."""
        check_images("blended_backdoor", features.shape)
        noise = np.random.default_rng(self.pattern).random(features.shape[1:], dtype=np.float32)
        low, high = features.min(), features.max()
        blend = np.float32(self.blend)
        blended: NDArray[np.float32] = (1 - blend) * features + blend * (low + (high - low) * noise)
        return blended


SPEC = AttackSpec(
    name="blended_backdoor",
    kind="data",
    apply=BlendedBackdoor,
    knows="own data",
    reference="Chen et al. 2017, arXiv:1712.05526 (blended injection)",
)
