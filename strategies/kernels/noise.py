"""Normal noise on a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quickthorn.strategies.kernels.blocks import column_blocks
from quickthorn.strategies.kernels.device import with_tensor_form

if TYPE_CHECKING:
    import numpy as np

    from quickthorn.strategies.updates import Array


@with_tensor_form
def disturb(vector: Array, deviation: float, rng: np.random.Generator) -> None:
    """Add normal noise to every coordinate, in place."""
    for block in column_blocks(1, len(vector)):
        part = vector[block].astype(float)
        vector[block] = part + deviation * rng.standard_normal(len(part))
