"""Where the updates of a round lie while it lasts: in memory, or in a file of the run's folder."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from quickthorn.strategies.updates import Array

# From this size on the updates of a round lie in a file, unless the run says otherwise.
SPILL_BYTES = 2 << 30
# What the file leaves free on its disk, beside room for the new model: the record has to grow.
_LEFT_FREE = 64 << 20
_ZEROS = bytes(1 << 20)


def spills(size: int, spill_bytes: int) -> bool:
    """Return whether so many bytes of updates go to a file.

    >>> spills(3 << 30, SPILL_BYTES), spills(3 << 30, 0)
    (True, False)
    """
    return 0 < spill_bytes <= size


def reserve(
    shape: tuple[int, int], dtype: np.dtype[Any], *, folder: Path, spill_bytes: int
) -> Array:
    """Return an array to fill with updates, whose room is there from the start.

    Parameters
    ----------
    shape, dtype
        (n, d) and the type of a row.
    folder
        Where the file is made. It has no name: it is gone with the array, and with the
        process, however that ends.
    spill_bytes
        From how many bytes on it is a file; 0 for never.

    Raises
    ------
    OSError
        If the disk has no room for it.
    MemoryError
        If the memory has none.

    """
    size = prod(shape) * dtype.itemsize
    if not spills(size, spill_bytes):
        return np.empty(shape, dtype)
    if shutil.disk_usage(folder).free < size + shape[1] * dtype.itemsize + _LEFT_FREE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with tempfile.TemporaryFile(dir=folder) as file:
        # Blocks, not holes: a write through the mapping could not report a full disk.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:  # macOS
            for start in range(0, size, len(_ZEROS)):
                file.write(_ZEROS[: size - start])
            file.flush()
        return np.memmap(file, dtype, "r+", shape=shape)
