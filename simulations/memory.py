"""How much memory this process has resident, and the most that it ever had: Linux tells."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_PEAK = "5"  # what resets the peak, in the words of proc(5)


def resident() -> int:
    """Return the bytes that are resident now, pages of mapped files included."""
    return _field("VmRSS")


def peak_resident() -> int:
    """Return the most bytes that were resident since the process, or ``growth``, began."""
    return _field("VmHWM")


def growth(run: Callable[[], object]) -> int:
    """Return by how many bytes the resident memory grew at most while ``run`` ran.

    Whatever allocates is counted: numpy, compiled code, BLAS, threads and mapped files. Memory
    that the process holds but does not use is given back first, so that it hides nothing.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR.write_text(_PEAK, encoding="ascii")
    before = resident()
    run()
    return max(0, peak_resident() - before)


def _field(name: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(name)  # pragma: no cover - the kernel writes both
