"""Sums of updates over the rounds, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array


@with_tensor_form
def add_to_history(
    values: Rows, before: Array | None, past: Sequence[int | None], absent: Sequence[int]
) -> Array:
    """Return the sums of this round's rows and their past, then the past of those who are absent.

    Parameters
    ----------
    values
        (n, d) float32 or float64, finite.
    before
        (m, d) sums until now, None before the first round.
    past
        n places in ``before``; None for a row that has no past.
    absent
        Places in ``before`` of those who are not among the rows.

    Returns
    -------
    Array
        (n + len(absent), d) of the dtype of ``values``, in memory of its own; a sum beyond it
        is the largest number of that dtype.

    """
    n, d = values.shape
    history = np.empty((n + len(absent), d), values.dtype)
    largest = np.finfo(values.dtype).max
    here = [row for row, place in enumerate(past) if place is not None]
    places = [place for place in past if place is not None]
    for block in column_blocks(len(history), d):
        history[:n, block] = values[:, block]
        if before is not None:
            with np.errstate(over="ignore"):
                history[here, block] += before[places, block]
            history[n:, block] = before[absent, block]
        np.clip(history[:, block], -largest, largest, out=history[:, block])
    return history
