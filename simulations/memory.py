"""How much memory this process has resident, and the most that it ever had, where Linux tells."""

from __future__ import annotations

import ctypes
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PROC = Path("/proc")
_PEAK = "5"  # resets the peak, in the words of proc(5)


def peak_resident() -> int:
    """Return the most bytes that were resident since the process, or ``growth``, began."""
    return _field("self/status", "VmHWM")


def growth(run: Callable[[], object]) -> int:
    """Return by how many bytes the resident memory grew at most while ``run`` ran.

    Whatever allocates is counted: numpy, compiled code, BLAS, threads and mapped files. Memory
    that the process holds but does not use is given back first, so that it hides nothing.
    Where the system does not tell, only what Python and numpy allocate is counted.
    """
    if not (_PROC / "self/clear_refs").exists():
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc
    if trim is not None:
        trim(0)
    (_PROC / "self/clear_refs").write_text(_PEAK, encoding="ascii")
    before = _field("self/status", "VmRSS")
    run()
    return max(0, peak_resident() - before)


def available() -> int | None:
    """Return how many bytes may still be allocated, None where the system does not tell."""
    return _field("meminfo", "MemAvailable") if (_PROC / "meminfo").exists() else None


def _field(file: str, name: str) -> int:
    for line in (_PROC / file).read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise AssertionError(name)  # pragma: no cover - the kernel writes all of them
