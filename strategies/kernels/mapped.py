"""Rows in a memory-mapped file: let go of the pages that were read, so that few are resident."""

from __future__ import annotations

import contextlib
import mmap
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from quickthorn.strategies.kernels.device import DeviceTensor
    from quickthorn.strategies.kernels.rows import Rows
    from quickthorn.strategies.updates import Array

# Bytes of a file that may be read before its pages are let go. A fault may bring more than was
# asked for: Linux maps whole pages of its cache, which may be as large as 2 MiB, in every row.
RESIDENT_BYTES = 1 << 27

# Touching one element makes as much of the file resident, where it is in the system's cache.
_FAULT_BYTES = 1 << 16


class MappedRows:
    """The (n, d) rows of a memory-mapped file, of which about RESIDENT_BYTES are resident.

    Answers as ``Rows`` do; a block is a view of the file, which is read where somebody looks.

    Attributes
    ----------
    shape, dtype
        Of the rows.

    Parameters
    ----------
    values
        (n, d), a view of the mapping.

    """

    def __init__(self, values: Array) -> None:
        """Hold the rows; nothing is read yet."""
        self.shape = values.shape
        self.dtype = values.dtype
        self._values = values
        self._lock = Lock()
        self._touched = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: tuple[Any, Any]) -> Array:
        """Return ``[rows, columns]``, a block; single columns are copied row by row."""
        rows, columns = key
        if isinstance(columns, slice):
            block = self._values[rows, columns]
            self._touch(block.nbytes)
            return block
        picked = np.arange(self.shape[1])[columns]
        return np.stack([self._pick(row, picked) for row in np.arange(len(self))[rows]])

    def _pick(self, row: int, columns: Array) -> Array:
        self._touch(min(len(columns) * _FAULT_BYTES, self._values[row].nbytes))
        picked: Array = self._values[row, columns]
        return picked

    def _touch(self, size: int) -> None:
        """Make room for ``size`` bytes that are about to be read."""
        with self._lock:
            if self._touched + size > RESIDENT_BYTES:
                release(self._values)
                self._touched = 0
            self._touched += size


def by_blocks(values: Array | DeviceTensor) -> Rows:
    """Return rows for a rule to read: those of a mapped file let go of what was read.

    Parameters
    ----------
    values
        (n, d). What lies in memory or on a device comes back as it is, and so does a mapping
        whose changes reach no file (mode ``c``): its pages exist nowhere else.

    """
    return values if _mapping(values) is None else MappedRows(np.asarray(values))


def release(values: Array) -> None:
    """Take the pages of a memory-mapped array out of this process's memory; nothing is lost.

    What was written to them is in the file, and what is read again comes back from there. Of
    arrays that ``by_blocks`` leaves as they are, nothing is let go.

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
