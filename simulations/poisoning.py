"""What the attacks on data share: choose samples, replace them, refuse what cannot be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from quickthorn.client.datasets import Dataset
from quickthorn.strategies.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IMAGES = 4
"""Dimensions of ``(samples, channels, height, width)``."""

Level: TypeAlias = float | Literal["white"]
"""A value of a pixel; ``white`` is the brightest of the images that are given."""


def chosen(
    candidates: NDArray[np.int64], share: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw ⌈share * candidates⌉ of the candidates, each at most once; sorted.

    >>> len(chosen(np.arange(10), 0.25, np.random.default_rng(0)))
    3
    """
    count = math.ceil(share * len(candidates))
    return np.sort(rng.choice(candidates, count, replace=False))


def replaced(
    dataset: Dataset,
    where: NDArray[np.int64],
    *,
    features: NDArray[np.float32] | None = None,
    labels: NDArray[np.int64] | int | None = None,
) -> Dataset:
    """Return a copy of the data set with other features, other labels or both at ``where``."""
    new_features, new_labels = dataset.features.copy(), dataset.labels.copy()
    if features is not None:
        new_features[where] = features
    if labels is not None:
        new_labels[where] = labels
    return Dataset(new_features, new_labels, dataset.classes)


def check_share(attack: str, share: float, *, name: str = "share") -> None:
    """Refuse a share that is not above 0 and at most 1."""
    if not 0 < share <= 1:
        msg = f"{name} of {attack} must be above 0 and at most 1; got {share}."
        raise ConfigurationError(msg)


def check_class(attack: str, name: str, label: int, classes: tuple[str, ...]) -> None:
    """Refuse a class that the data set does not have."""
    if not 0 <= label < len(classes):
        msg = f"{name} of {attack} must be 0 to {len(classes) - 1}, a class; got {label}."
        raise ConfigurationError(msg)


def square(
    attack: str, shape: tuple[int, ...], size: int, row: int, column: int
) -> NDArray[np.int64]:
    """Return the rows and columns of a square's pixels in images of this shape.

    Parameters
    ----------
    attack
        What to call it in an error.
    shape
        ``(samples, channels, height, width)``.
    size
        Height and width of the square.
    row, column
        Where its upper left corner stands. A negative number counts from the other side: -1
        touches the lower or right edge, -2 leaves one pixel free.

    Returns
    -------
    NDArray
        ``(2, size * size)``, row by row.

    Raises
    ------
    ConfigurationError
        If these are no images, or the square is empty or leaves them.

    Example
    -------
    >>> square("a patch", (1, 1, 8, 8), 2, 0, -1).tolist()
    [[0, 0, 1, 1], [6, 7, 6, 7]]

    """
    check_images(attack, shape)
    corner: list[list[int]] = []
    for start, length in zip((row, column), shape[-2:], strict=True):
        first = start if start >= 0 else length - size + 1 + start
        if size < 1 or not 0 <= first <= length - size:
            msg = (
                f"{attack} of {size} x {size} pixels at row={row}, column={column} does not lie "
                f"in an image of {shape[-2]} x {shape[-1]}. Change size, row or column."
            )
            raise ConfigurationError(msg)
        corner.append([first])
    return np.indices((size, size), dtype=np.int64).reshape(2, -1) + np.array(corner, np.int64)


def stamp(
    features: NDArray[np.float32], pixels: NDArray[np.int64], level: np.float32
) -> NDArray[np.float32]:
    """Return copies of the images with ``level`` at these pixels, in every channel."""
    stamped = features.copy()
    stamped[:, :, pixels[0], pixels[1]] = level
    return stamped


def check_images(attack: str, shape: tuple[int, ...]) -> None:
    """Refuse samples that are no images."""
    if len(shape) != _IMAGES:
        msg = (
            f"{attack} needs images of shape (samples, channels, height, width); "
            f"got {shape}. Use tabular_backdoor or a data set of images."
        )
        raise ConfigurationError(msg)


def level_of(features: NDArray[np.float32], value: Level) -> np.float32:
    """Return the value of a pixel, looking up the brightest one where it is ``white``."""
    return np.float32(features.max() if value == "white" else value)


def check_counts(attack: str, **counts: int) -> None:
    """Refuse counts below 1."""
    for name, count in counts.items():
        if count < 1:
            msg = f"{name} of {attack} must be at least 1; got {count}."
            raise ConfigurationError(msg)
