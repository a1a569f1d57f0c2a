"""The torch form of ``noise``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quickthorn.strategies.kernels.blocks import column_blocks

if TYPE_CHECKING:
    import numpy as np


def disturb(vector: torch.Tensor, deviation: float, rng: np.random.Generator) -> None:
    """Add normal noise to every coordinate, in place: the numbers that numpy's form draws."""
    for block in column_blocks(1, len(vector)):
        drawn = torch.from_numpy(rng.standard_normal(len(vector[block]))).to(vector.device)
        vector[block] = vector[block].double() + deviation * drawn
