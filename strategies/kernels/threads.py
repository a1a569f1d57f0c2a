"""Spread blocks of columns over the threads; compiled kernels let go of the interpreter's lock."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def thread_count() -> int:
    """Return how many threads to use: QUICKTHORN_THREADS, or the cores this process may use."""
    named = os.environ.get("QUICKTHORN_THREADS", "")
    if named.isdecimal() and int(named) > 0:
        return int(named)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def each(work: Callable[[slice], T], blocks: Sequence[slice]) -> list[T]:
    """Return ``work`` of every block of columns, in the order of the blocks.

    The threads share the blocks out among them, so no block may need another's result.
    """
    threads = min(thread_count(), len(blocks))
    if threads <= 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, blocks))
