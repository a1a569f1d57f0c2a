"""One scale for all heat maps: cividis, which eyes of every kind read alike, by brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quickthorn.simulations.comparison.matrices import Matrix

SCALE = "cividis"
_CHANCE = 0.5  # the area under the curve of a coin
_STEP = 0.1  # the scale begins at a multiple of this
_DARK = 0.462  # brightness below which white letters are read better than black ones


def shade(value: float, low: float, *, low_is_bad: bool) -> tuple[str, str]:
    """Return the color of a value between ``low`` and 1, and that of the letters on it.

    Bright is good, whichever end that is.

    >>> shade(1.0, 0.5, low_is_bad=True), shade(1.0, 0.5, low_is_bad=False)
    (('#fee838', '#000'), ('#00224e', '#fff'))
    """
    share = min(max((value - low) / (1 - low), 0.0), 1.0) if low < 1 else 1.0
    red, green, blue, _ = mpl.colormaps[SCALE](share if low_is_bad else 1 - share)
    letters = "#fff" if 0.299 * red + 0.587 * green + 0.114 * blue < _DARK else "#000"
    return "#" + "".join(f"{round(255 * part):02x}" for part in (red, green, blue)), letters


def scale_start(matrices: Iterable[Matrix]) -> float:
    """Return where the common scale of the matrices, which ends at 1, begins.

    At 0 where a high value is bad, at chance or below for detection, and else at the lowest mean,
    rounded down.
    """
    matrices = list(matrices)
    means = [
        entry.value.value.mean
        for matrix in matrices
        for entry in matrix.entries.values()
        if entry.value is not None
    ]
    if not all(matrix.low_is_bad for matrix in matrices):
        return 0.0
    highest = _CHANCE if any(matrix.measure == "detection" for matrix in matrices) else 1.0 - _STEP
    return min(int(min(means, default=0.0) / _STEP) * _STEP, highest)
