"""Mean shift over a few points: climb to where they are dense, and join what climbs together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A climb ends with a step below this share of the width, or after so many steps.
_STILL = 1e-3
_MAX_STEPS = 300


def mean_shift(points: NDArray[np.float64], width: float) -> NDArray[np.int64]:
    """Return the cluster of each point, numbered from the densest on; −1 for outliers.

    From every point a center climbs to the mean of all points within ``width`` of it, again
    and again. Centers are then taken from the one with the most points around it downwards
    (ties: the lexicographically larger one), without those within ``width`` of one taken
    before; a point belongs to the nearest, if that is within ``width``.

    Parameters
    ----------
    points
        (n, k).
    width
        The radius of the flat kernel, above 0.

    Returns
    -------
    NDArray[np.int64]
        (n,).

    Example
    -------
    >>> mean_shift(np.array([[0.0], [5.0], [5.1], [5.2], [9.0]]), 1.0)
    array([2, 0, 0, 0, 1])

    References
    ----------
    Comaniciu and Meer, "Mean Shift: A Robust Approach Toward Feature Space Analysis",
    IEEE TPAMI 2002; in the form of scikit-learn's ``MeanShift``.

    """
    centers, density = _climb(points, width)
    order = sorted(range(len(points)), key=lambda i: (density[i], *centers[i]), reverse=True)
    peaks: list[int] = []
    for i in order:
        if not peaks or _distances(centers[[i]], centers[peaks]).min() > width:
            peaks.append(i)
    away = _distances(points, centers[peaks])
    labels: NDArray[np.int64] = away.argmin(axis=1).astype(np.int64)
    labels[away.min(axis=1) > width] = -1
    return labels


def _climb(
    points: NDArray[np.float64], width: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where the climb from each point ends, and how many points are around there."""
    centers, density = points.copy(), np.zeros(len(points), np.int64)
    moving = np.arange(len(points))
    for _ in range(_MAX_STEPS):
        near = _distances(centers[moving], points) <= width
        density[moving] = near.sum(axis=1)
        moved = near @ points / density[moving, None]
        step = np.sqrt(((moved - centers[moving]) ** 2).sum(axis=1))
        centers[moving] = moved
        moving = moving[step > _STILL * width]
        if not len(moving):
            break
    return centers, density


def _distances(ones: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.sqrt(((ones[:, None] - others) ** 2).sum(axis=2))
    return result
