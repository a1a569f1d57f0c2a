"""The name under which a record knows a model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quickthorn.strategies.updates import Array


def digest(model: Mapping[str, Array]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and bytes, in the model's order.

    >>> digest({"w": np.zeros(2, np.float32)})[:8] == digest({"w": np.zeros(2)})[:8]
    False
    """
    sha = hashlib.sha256()
    for name, array in model.items():
        sha.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
