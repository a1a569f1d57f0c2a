"""The torch form of ``history``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.strategies.kernels.tensors import column_chunks, device_of, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quickthorn.strategies.kernels.tensors import Rows


def add_to_history(
    values: Rows, before: object, past: Sequence[int | None], absent: Sequence[int]
) -> torch.Tensor:
    """Return the sums of this round's rows and their past, then the past of the absent."""
    n, d = values.shape
    history = empty(values, n + len(absent), d)
    largest = torch.finfo(history.dtype).max
    here = [row for row, place in enumerate(past) if place is not None]
    places = [place for place in past if place is not None]
    known = None if before is None else torch.as_tensor(before, device=device_of(values))
    for chunk in column_chunks(d):
        history[:n, chunk] = values[:, chunk]
        if known is not None:
            history[here, chunk] += known[places, chunk]
            history[n:, chunk] = known[list(absent), chunk]
        history[:, chunk].clamp_(-largest, largest)
    return history
