"""Flower's ``ArrayRecord`` and a plain model, name to numpy array, into each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Array, ArrayRecord
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    Model = Mapping[str, np.ndarray[Any, np.dtype[Any]]]


def to_model(record: ArrayRecord) -> Model:
    """Return the arrays of a trusted record (the server's own), by name, in its order."""
    return {name: array.numpy() for name, array in record.items()}


def to_record(model: Model) -> ArrayRecord:
    """Return a model as Flower sends it."""
    return ArrayRecord({name: Array(array) for name, array in _contiguous(model).items()})


def save_model(model: Model, folder: Path) -> Path:
    """Write ``model.safetensors`` into ``folder``; a reader sees the old file or the new one."""
    path = folder / "model.safetensors"
    partial = path.with_suffix(".partial")
    save_file(_contiguous(model), partial)
    partial.replace(path)
    return path


def _contiguous(model: Model) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    # ascontiguousarray makes a vector of a scalar; reshape makes it a scalar again.
    return {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in model.items()}
