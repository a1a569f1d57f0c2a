"""The torch form of ``finite``."""

from __future__ import annotations

import numpy as np
import torch

from quickthorn.strategies.kernels.tensors import column_chunks, to_host


def rows_not_finite(values: torch.Tensor) -> list[int]:
    """Return which rows hold NaN or infinity."""
    sound = torch.ones(len(values), dtype=torch.bool, device=values.device)
    for chunk in column_chunks(values.shape[1]):
        sound &= torch.isfinite(values[:, chunk]).all(dim=1)
    bad: list[int] = np.flatnonzero(~to_host(sound)).tolist()
    return bad
