"""Rows in a memory-mapped file: let go of the pages that were read, so that few are resident."""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quickthorn.strategies.updates import Array


def release(values: Array) -> None:
    """Take the pages of a memory-mapped array out of this process's memory; nothing is lost.

    What was written to them is in the file, and what is read again comes back from there. An
    array in memory, and a mapping whose changes reach no file (mode ``c``), stay as they are.

    Parameters
    ----------
    values
        Any array; a view of an ``np.memmap`` lets go of the whole mapping.

    """
    mapping = _mapping(values)
    if mapping is not None:
        # Advice: pages that are locked into memory, say, stay there.
        with contextlib.suppress(OSError):
            mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(values: object) -> mmap.mmap | None:
    """Return the mapping, shared with its file, in which an array lies."""
    mode = "c"
    while isinstance(values, np.ndarray):
        mode = values.mode if isinstance(values, np.memmap) else mode
        values = values.base
    return values if isinstance(values, mmap.mmap) and mode != "c" else None
