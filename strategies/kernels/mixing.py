"""Compiled mixtures of rows, and sums of squares; ``rows`` chooses between these and numpy.

Compiled by numba on first use and kept on disk, so that later processes load it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quickthorn.strategies.updates import Array

# Columns that are summed at a time: the sums stay in the first-level cache, the rows in the second.
_WIDTH = 512


@dataclass(frozen=True, eq=False)
class Plan:
    """In what order to add up m mixtures of n rows.

    Output i is ``common @ rows`` plus, for k from ``starts[i]`` to ``starts[i + 1]``,
    ``shares[k]`` times row ``places[k]``; output m is ``common @ rows`` itself.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, weights: NDArray[np.float64], *, shared: bool) -> Plan:
        """Choose for (m, n) weights, of which ``shared`` says whether to use a common sum."""
        common = np.zeros(weights.shape[1])
        if shared:
            largest = weights.max(axis=0)
            common = np.where((weights == largest).mean(axis=0) > 0.5, largest, 0.0)  # noqa: PLR2004 - most
        rest = np.concatenate([weights - common, common[None, :]])
        outputs, places = np.nonzero(rest)
        starts = np.searchsorted(outputs, np.arange(len(rest) + 1))
        return cls(starts, places, rest[outputs, places])


def mixed_columns(
    plan: Plan, outputs: NDArray[np.intp], values: Array, block: slice, dtype: np.dtype[Any]
) -> Array:
    """Return the given outputs over a block of columns of (n, d) values, in ``dtype``.

    Not threaded: whoever asks for blocks spreads them.
    """
    mixed = np.empty((len(outputs), block.stop - block.start), dtype)
    start, stop = block.start, block.stop
    _mix(values, start, stop, plan.starts, plan.places, plan.shares, outputs, mixed)
    return mixed


@njit(nogil=True, cache=True, error_model="numpy")
def _mix(  # noqa: PLR0913, PLR0917 - a compiled loop takes its arguments by position
    values: Any,  # noqa: ANN401 - numba's types
    start: int,
    stop: int,
    starts: Any,  # noqa: ANN401 - as above
    places: Any,  # noqa: ANN401 - as above
    shares: Any,  # noqa: ANN401 - as above
    outputs: Any,  # noqa: ANN401 - as above
    mixed: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    common, part = np.zeros(_WIDTH), np.zeros(_WIDTH)
    last = len(starts) - 2
    for first in range(start, stop, _WIDTH):
        here = min(_WIDTH, stop - first)
        common[:] = 0.0
        _add_rows(values, first, here, places, shares, starts[last], starts[last + 1], common)
        for target in range(len(outputs)):
            output = outputs[target]
            part[:] = common
            _add_rows(values, first, here, places, shares, starts[output], starts[output + 1], part)
            row = mixed[target, first - start : first - start + here]
            for k in range(here):
                row[k] = part[k]


@njit(nogil=True, cache=True, error_model="numpy")
def _add_rows(  # noqa: PLR0913, PLR0917 - as above
    values: Any,  # noqa: ANN401 - as above
    first: int,
    here: int,
    places: Any,  # noqa: ANN401 - as above
    shares: Any,  # noqa: ANN401 - as above
    at: int,
    end: int,
    part: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    """Add up rows in their order, four at a time: the bits of the form in numpy."""
    while at + 4 <= end:
        a = values[places[at], first : first + here]
        b = values[places[at + 1], first : first + here]
        c = values[places[at + 2], first : first + here]
        d = values[places[at + 3], first : first + here]
        u, v, w, x = shares[at], shares[at + 1], shares[at + 2], shares[at + 3]
        for k in range(here):
            part[k] = (((part[k] + u * a[k]) + v * b[k]) + w * c[k]) + x * d[k]
        at += 4
    while at < end:
        a = values[places[at], first : first + here]
        u = shares[at]
        for k in range(here):
            part[k] += u * a[k]
        at += 1


@njit(nogil=True, cache=True, error_model="numpy")
def add_squares(
    values: Any,  # noqa: ANN401 - as above
    start: int,
    stop: int,
    center: Any,  # noqa: ANN401 - as above
    totals: Any,  # noqa: ANN401 - as above
) -> None:  # pragma: no cover - compiled
    """Add Σ (x_ij − v_j)² over the columns from ``start`` to ``stop`` to the (n,) totals.

    ``center`` begins at ``start`` and may be empty.
    """
    part = np.zeros(_WIDTH)
    for i in range(len(values)):
        for first in range(start, stop, _WIDTH):
            here = min(_WIDTH, stop - first)
            row = values[i, first : first + here]
            part[here:] = 0.0
            if len(center):
                middle = center[first - start : first - start + here]
                for k in range(here):
                    part[k] = row[k] - middle[k]
            else:
                for k in range(here):
                    part[k] = row[k]
            totals[i] += _sum_squares(part)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _sum_squares(part: Any) -> Any:  # noqa: ANN401 - as above; pragma: no cover - compiled
    """Add up in the vectors of the machine, whose number of sums side by side is compiled in."""
    total = 0.0
    for k in range(_WIDTH):
        total += part[k] * part[k]
    return total
